package config

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestJudgeMode(t *testing.T) {
	const me = 1000
	for _, test := range []struct {
		mode               fs.FileMode
		owner              int
		readable, writable string
	}{
		{0o600, me, "", ""},
		{0o400, me, "", ""},
		{0o700, me, "", ""},
		{0o644, me, "others may read or change it; run: chmod 600 F", ""},
		{0o640, me, "others may read or change it; run: chmod 600 F", ""},
		{0o604, me, "others may read or change it; run: chmod 600 F", ""},
		{0o601, me, "others may read or change it; run: chmod 600 F", ""},
		{0o660, me, "others may read or change it; run: chmod 600 F", "others may change it; run: chmod 644 F"},
		{0o602, me, "others may read or change it; run: chmod 600 F", "others may change it; run: chmod 644 F"},
		{0o600, 0, "it belongs to another user; make it yours, then: chmod 600 F", ""},
		{0o644, 0, "it belongs to another user; make it yours, then: chmod 600 F", ""},
	} {
		if got, want := judgeMode("F", test.mode, test.owner, me), (privacy{test.readable, test.writable}); got != want {
			t.Errorf("mode %o of %d: %+v, want %+v", test.mode, test.owner, got, want)
		}
	}
}

func TestJudgeACL(t *testing.T) {
	const (
		me, other = "S-1-5-21-1-1001", "S-1-5-21-1-1002"
		users     = "S-1-5-32-545"
		full      = 0x1f01ff
		readable  = 0x120089
	)
	remedy := `; run: icacls "F" /inheritance:r /grant:r *` + me + `:F`
	own := []access{{sid: me, mask: full}, {sid: "S-1-5-18", mask: full}, {sid: "S-1-5-32-544", mask: full}}
	for _, test := range []struct {
		name, owner string
		entries     []access
		want        string
	}{
		{"as below a profile", me, own, ""},
		{"as an administrator makes it", "S-1-5-32-544", own, ""},
		{"all users read", me, append(own, access{sid: users, mask: readable}), "others may read or change it" + remedy},
		{"everybody, by a generic right", me, append(own, access{sid: "S-1-1-0", mask: 0x80000000}), "others may read or change it" + remedy},
		{"another may take it", me, append(own, access{sid: other, mask: 0x80000}), "others may read or change it" + remedy},
		{"another sees that it is there", me, append(own, access{sid: other, mask: 0x100080}), ""},
		{"users are refused", me, append(own, access{sid: users, mask: full, refuses: true}), ""},
		{"only for what is made below", me, append(own, access{sid: users, mask: full, unborn: true}), ""},
		{"another's", other, own, "it belongs to another user; make it yours, then " + strings.TrimPrefix(remedy, "; ")},
	} {
		if got := judgeACL("F", test.owner, me, test.entries); got != (privacy{readable: test.want}) {
			t.Errorf("%s: %+v, want %q", test.name, got, test.want)
		}
	}
}

func TestTokenFile(t *testing.T) {
	for _, test := range []struct{ name, content, want string }{
		{"token", "abc.DEF-123\n", ""},
		{"empty", " \n", "is empty; want a token"},
		{"two lines", "abc\ndef\n", "want a token alone, without blanks or line breaks in it"},
		{"header injection", "abc\rX: y", "want a token alone, without blanks or line breaks in it"},
		{"beyond ASCII", "abc\u00e9", "want a token alone, without blanks or line breaks in it"},
		{"longest", strings.Repeat("a", maxToken), ""},
		{"too long", strings.Repeat("a", maxToken+1), "is longer than 16 KiB"},
	} {
		path := save(t, "hub.token", test.content)
		token, err := (Hub{TokenFile: path}).Token()
		if test.want == "" {
			if err != nil || token.Reveal() != strings.TrimSpace(test.content) {
				t.Errorf("%s: %d bytes, %v", test.name, len(token), err)
			}
		} else if err == nil || err.Error() != path+": "+test.want {
			t.Errorf("%s: %v, want %s", test.name, err, test.want)
		}
	}
}

func TestFilesPointedToAreLookedAtOnce(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "castray.toml")
	content := "[hub]\nca_file = \"gone.pem\"\n" + oneSite + "ca_file = \"castray.toml\"\n" +
		"[[site]]\nfhir_url = \"https://b.example.org\"\nclient_id = \"c\"\nca_file = \".\"\n"
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Load(Sources{File: path})
	if err == nil {
		t.Fatal("loaded")
	}
	lines := strings.Split(strings.NewReplacer(path+":", "FILE:", dir, "DIR", string(filepath.Separator), "/").Replace(err.Error()), "\n")
	if len(lines) != 3 {
		t.Fatalf("want a line for each file:\n%v", err)
	}
	for i, want := range []string{
		"FILE:7:1: site.ca_file: FILE: holds no PEM certificate",
		"FILE:2:1: site.hub.ca_file: DIR/gone.pem: ", // and the system's words for it
		"FILE:11:1: site.ca_file: DIR: is not a regular file",
	} {
		if !strings.HasPrefix(lines[i], want) {
			t.Errorf("line %d: %s, want %s", i+1, lines[i], want)
		}
	}
}

func TestRoots(t *testing.T) {
	if roots, err := Roots(""); roots != nil || err != nil {
		t.Errorf("without a file: %v, %v; want the system's, which is nil", roots, err)
	}
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	roots, err := Roots(save(t, "ca.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))))
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := certificate.Verify(x509.VerifyOptions{Roots: roots}); err != nil {
		t.Errorf("what the file names is not trusted: %v", err)
	}
}

func TestHugeFile(t *testing.T) {
	path := save(t, "castray.toml", strings.Repeat("#", maxConfig+1))
	if _, err := Load(Sources{File: path}); err == nil || err.Error() != path+": is longer than 256 KiB" {
		t.Errorf("error %v", err)
	}
}
