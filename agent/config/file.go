package config

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/castray/castray/bridge/fhircast"
)

const (
	maxConfig = 256 << 10 // bytes; a real one has a few thousand
	maxToken  = 16 << 10  // the longest that servers are known to issue is 12 KB
	maxPEM    = 4 << 20   // the bundle of a whole system is about 200 KB
)

// A privacy tells who else may use an open file.
type privacy struct {
	readable string // what to do about others who may read it; "" if nobody else may
	writable string // the same about writing
}

// readFile reads a regular file of at most limit bytes and tells who else may use it. The facts are taken from the
// open file, so that they belong to what was read.
func readFile(path string, limit int64) ([]byte, privacy, error) {
	// Opening a pipe would wait for its writer, so look before.
	info, err := os.Stat(path)
	if err != nil {
		return nil, privacy{}, err
	}
	if !info.Mode().IsRegular() {
		return nil, privacy{}, fmt.Errorf("%s: is not a regular file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, privacy{}, err
	}
	defer f.Close()
	who, err := inspect(f)
	if err != nil {
		return nil, privacy{}, fmt.Errorf("%s: who may read it: %w", path, err)
	}
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, privacy{}, err
	}
	if int64(len(data)) > limit {
		return nil, privacy{}, fmt.Errorf("%s: is longer than %d KiB", path, limit>>10)
	}
	return data, who, nil
}

// readToken reads a bearer token: one line of visible ASCII (RFC 6750, 2.1).
func readToken(path string) (fhircast.Secret, error) {
	data, who, err := readFile(path, maxToken)
	if err != nil {
		return "", err
	}
	if who.readable != "" {
		return "", fmt.Errorf("%s: holds a token, and %s", path, who.readable)
	}
	token := strings.TrimSpace(string(data))
	if token == "" {
		return "", fmt.Errorf("%s: is empty; want a token", path)
	}
	if strings.ContainsFunc(token, func(r rune) bool { return r < 0x21 || r > 0x7e }) {
		return "", fmt.Errorf("%s: want a token alone, without blanks or line breaks in it", path)
	}
	return fhircast.Secret(token), nil
}

// Roots are the system's certificate authorities and those of a PEM file, or nil, which means the system's, when
// caFile is "".
func Roots(caFile string) (*x509.CertPool, error) {
	if caFile == "" {
		return nil, nil
	}
	data, _, err := readFile(caFile, maxPEM)
	if err != nil {
		return nil, err
	}
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool()
	}
	if !roots.AppendCertsFromPEM(data) {
		return nil, errors.New(caFile + ": holds no PEM certificate")
	}
	return roots, nil
}
