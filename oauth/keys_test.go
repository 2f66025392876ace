package oauth

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/castray/castray/oauth/oauthtest"
)

// direct is a transport that ends in a handler, for a bubble.
type direct struct{ http.Handler }

func (d direct) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	d.ServeHTTP(w, r)
	return w.Result(), nil
}

// serverKey is made once: under the race detector it takes half a second.
var serverKey = sync.OnceValue(func() *rsa.PrivateKey {
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return k
})

func newIssuer() *oauthtest.Server {
	return &oauthtest.Server{Users: []oauthtest.User{{ID: "u1"}}, Key: serverKey()}
}

// published is an issuer, its keys as a client has them, and a way to its id_tokens.
func published(as *oauthtest.Server) (keys *keySet, token func() string) {
	site := Site{FHIRURL: "https://as.example/fhir", ClientID: "castray", Scopes: []string{"openid", "offline_access"}}
	w := newWeb(site, &http.Client{Transport: direct{as}})
	return &keySet{address: "https://as.example/auth/jwks", web: w}, func() string { return as.IDToken("https://as.example") }
}

func TestKeysAreFetchedOnNeed(t *testing.T) {
	// SM-ID-10: when no key that we have fits, and for that at most once a minute.
	as := newIssuer()
	synctest.Test(t, func(t *testing.T) {
		keys, token := published(as)
		fits := func(name string, jwt string, want bool, fetches int) {
			t.Helper()
			if _, err := keys.VerifySignature(t.Context(), jwt); (err == nil) != want || err != nil && !errors.Is(err, errUnsigned) {
				t.Errorf("%s: %v", name, err)
			}
			if n := as.Count("/auth/jwks"); n != fetches {
				t.Errorf("%s: %d fetches, want %d", name, n, fetches)
			}
		}
		old := token()
		fits("the first", old, true, 1)
		fits("the same key", token(), true, 1)
		as.NewKey()
		fits("a new key", token(), true, 2)
		fits("the old key, of which nothing is left", old, false, 2)
		as.Misbehave(oauthtest.Faults{BadSign: true})
		for range 100 {
			fits("made up", token(), false, 2)
		}
		time.Sleep(keysRest)
		fits("made up, a minute later", token(), false, 3)
		fits("made up once more", token(), false, 3)
		as.Misbehave(oauthtest.Faults{})
		fits("a good one between", token(), true, 3)
	})
}

func TestKeysWithoutNames(t *testing.T) {
	// SM-ID-10, SM-ID-03: one key that fits is enough, whatever it is called and whatever lies beside it.
	for _, c := range []struct {
		name   string
		faults oauthtest.Faults
		want   bool
	}{
		{"keys without kid and alg, and some that are none", oauthtest.Faults{BareKeys: true}, true},
		{"a token that names no key", oauthtest.Faults{NoKid: true}, true},
		{"neither", oauthtest.Faults{BareKeys: true, NoKid: true}, true},
		{"a key that nobody has published", oauthtest.Faults{BareKeys: true, BadSign: true}, false},
		{"not signed at all", oauthtest.Faults{Signed: "none"}, false},
		{"signed with the public key as the secret", oauthtest.Faults{Signed: "HS256", BareKeys: true}, false},
		{"with an algorithm that is not listed", oauthtest.Faults{Signed: "RS384", BareKeys: true}, false},
		{"with a curve that is not listed", oauthtest.Faults{Signed: "ES256"}, false},
		{"a page instead of keys", oauthtest.Faults{Pages: []string{"/auth/jwks"}}, false},
	} {
		as := newIssuer()
		as.Misbehave(c.faults)
		keys, token := published(as)
		if _, err := keys.VerifySignature(context.Background(), token()); (err == nil) != c.want {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestKeysThatCannotBeHad(t *testing.T) {
	// A server that is down is no forgery, and the next sign-in asks again.
	for name, c := range map[string]*http.Client{
		"down": {Transport: direct{http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) })}},
		"away": {Transport: roundTrip(func(*http.Request) (*http.Response, error) { return nil, errors.New("dial: canary") })},
	} {
		as := newIssuer()
		keys, token := published(as)
		good := keys.web
		keys.web = newWeb(good.site, c)
		for range 2 {
			if _, err := keys.VerifySignature(t.Context(), token()); err == nil || errors.Is(err, errUnsigned) {
				t.Errorf("%s: %v", name, err)
			}
		}
		keys.web = good
		if _, err := keys.VerifySignature(t.Context(), token()); err != nil {
			t.Errorf("%s, then up: %v", name, err)
		}
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
