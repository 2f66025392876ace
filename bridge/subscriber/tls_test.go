package subscriber

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"math/big"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/castray/castray/bridge/fhircast"
)

// An authority makes certificates for a test; the bubble's clock stands at the year 2000.
type authority struct {
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{}
	a.key, a.cert = a.make(t, "Test authority", nil, time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC))
	return a
}

// make signs with the authority's key, or, for the authority itself, with its own.
func (a *authority) make(t *testing.T, name string, hosts []string, until time.Time) (*ecdsa.PrivateKey, *x509.Certificate) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: hosts,
		NotBefore: time.Date(1990, 1, 1, 0, 0, 0, 0, time.UTC), NotAfter: until, IsCA: hosts == nil, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	parent, signing := template, key
	if a.cert != nil {
		parent, signing = a.cert, a.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signing)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return key, cert
}

func (a *authority) server(t *testing.T, host string, until time.Time) tls.Certificate {
	key, cert := a.make(t, host, []string{host}, until)
	return tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key}
}

// An impostor answers in the hub's place, over TLS of its own, for as long as it is there. It counts what it could read.
type impostor struct {
	*world
	tls   *tls.Config
	there atomic.Bool
	dials atomic.Int64
	read  atomic.Int64
}

func (i *impostor) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	if !i.there.Load() {
		return i.net.Dial(ctx, network, addr)
	}
	i.dials.Add(1)
	near, far := net.Pipe()
	sent := &eagerConn{Conn: far, out: make(chan []byte, 64)}
	go sent.pump()
	go func() {
		defer close(sent.out)
		c := tls.Server(sent, i.tls)
		if c.HandshakeContext(ctx) == nil {
			n, _ := io.Copy(io.Discard, c)
			i.read.Add(n)
		}
	}()
	return near, nil
}

// An eagerConn does not wait until what it writes is read, as a kernel's socket does not: a handshake that is given up in
// the middle has both sides writing.
type eagerConn struct {
	net.Conn
	out chan []byte
}

func (c *eagerConn) Write(p []byte) (int, error) { c.out <- bytes.Clone(p); return len(p), nil }

func (c *eagerConn) pump() {
	for p := range c.out {
		_, _ = c.Conn.Write(p)
	}
	c.Conn.Close()
}

// FM-04: with a certificate that is not right no byte reaches the other side, what is wrong is said in plain words, it is
// tried by the schedule and no faster, never with less, and mended within a minute and a second of the certificate.
func TestACertificateThatIsNotRight(t *testing.T) {
	ours, theirs := newAuthority(t), newAuthority(t)
	future := time.Date(2099, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		name  string
		tls   *tls.Config
		words string
	}{
		{"expired", &tls.Config{Certificates: []tls.Certificate{ours.server(t, "hub.example.test", time.Date(1999, 12, 31, 0, 0, 0, 0, time.UTC))}},
			"the hub's certificate has expired or is not valid yet"},
		{"for another name", &tls.Config{Certificates: []tls.Certificate{ours.server(t, "other.example.test", future)}},
			"the hub's certificate is for another name"},
		{"of an unknown authority", &tls.Config{Certificates: []tls.Certificate{theirs.server(t, "hub.example.test", future)}},
			"the hub's certificate is from an authority that this computer does not trust"},
		{"right, but with TLS 1.1", &tls.Config{Certificates: []tls.Certificate{ours.server(t, "hub.example.test", future)}, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11},
			"the hub does not speak TLS with us"},
	} {
		for _, part := range []string{"subscribe", "connect"} {
			t.Run(tt.name+" at "+part, func(t *testing.T) {
				var i *impostor
				const away = 5 * time.Minute
				w := play(t, func(w *world) {
					i = &impostor{world: w, tls: tt.tls}
					i.there.Store(true)
					pool := w.config.TLS.RootCAs
					pool.AddCert(ours.cert)
					w.config.TLS.MinVersion = tls.VersionTLS10 // what we are given does not lower it
					w.config.Dial = i.dial
					if part == "subscribe" {
						w.config.HTTP = &http.Client{Transport: signer{&http.Transport{DialContext: i.dial, TLSClientConfig: tlsOver(w.config.TLS)}}}
					}
				}, func(w *world) {
					w.after(away)
					if got := w.client.Trouble(); got != part+": "+tt.words {
						t.Errorf("trouble %q, want %q", got, part+": "+tt.words)
					}
					i.there.Store(false)
					w.after(away + lastWindow + time.Second)
					if !w.client.State().Subscribed() {
						t.Errorf("%v after the certificate is right: %s", w.client.State(), w.client.Trouble())
					}
				})
				if n := i.read.Load(); n != 0 {
					t.Errorf("%d bytes reached the other side", n)
				}
				// Half windows: 2.5 s, 5, 10, 20 and then each 30. Each try asks what the hub says of itself, and one thing more.
				if tries := i.dials.Load(); tries > 2*(5+5*60/30) {
					t.Errorf("%d connections in %v", tries, away)
				}
				if part == "subscribe" && !slices.ContainsFunc(w.hubSaw[:1], func(s string) bool { return strings.HasPrefix(s, "5m") }) {
					t.Errorf("the hub saw %q", w.hubSaw)
				}
			})
		}
	}
}

// FM-04: never less than TLS 1.2, whatever we are given; never another protocol than the socket's.
func TestWhatTLSIsAgreedTo(t *testing.T) {
	for _, given := range []*tls.Config{nil, {}, {MinVersion: tls.VersionTLS10, NextProtos: []string{"h2"}}, {MinVersion: tls.VersionTLS12}} {
		if got := tlsOver(given); got.MinVersion != tls.VersionTLS12 || got.NextProtos != nil || got.InsecureSkipVerify {
			t.Errorf("%+v becomes %x, %v", given, got.MinVersion, got.NextProtos)
		}
	}
	if got := tlsOver(&tls.Config{MinVersion: tls.VersionTLS13}); got.MinVersion != tls.VersionTLS13 {
		t.Errorf("1.3 becomes %x", got.MinVersion)
	}
}

// FM-04: the socket's certificate is checked by itself: a hub that is right may name a socket that is not.
func TestASocketWithAWrongCertificate(t *testing.T) {
	theirs := newAuthority(t)
	play(t, nil, func(w *world) {
		w.after(time.Second)
		i := &impostor{world: w, tls: &tls.Config{Certificates: []tls.Certificate{theirs.server(t, "hub.example.test", time.Date(2099, 1, 1, 0, 0, 0, 0, time.UTC))}}}
		i.there.Store(true)
		other := w.config
		other.Dial = i.dial
		_, _, err := openSocket(w.Context(), other, fhircast.Secret(endpoint(1)))
		if want := "connect: the hub's certificate is from an authority that this computer does not trust"; err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
		if i.read.Load() != 0 {
			t.Error("the address of the socket was shown")
		}
	})
}
