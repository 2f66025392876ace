package oauth

import (
	"context"
	"io/fs"
	"net/http"
	"strings"
	"testing"
	"time"
)

// slowStore has one item, and does something while it is read.
type slowStore struct {
	item    string
	reading func()
}

func (s *slowStore) Load(context.Context, string) ([]byte, error) {
	if s.reading != nil {
		s.reading()
	}
	if s.item == "" {
		return nil, fs.ErrNotExist
	}
	return []byte(s.item), nil
}

func (s *slowStore) Save(_ context.Context, _ string, value []byte) error {
	s.item = string(value)
	return nil
}

func (s *slowStore) Delete(context.Context, string) error { s.item = ""; return nil }

// A stored sign-in that is read while the person signs in anew does not take the newer one's place: what the newer one
// stores stays, and the older is not refreshed.
func TestAResumeDoesNotTakeThePlaceOfANewerSignIn(t *testing.T) {
	const old = `{"v":1,"refresh_token":"old","token_endpoint":"https://ehr.example/token","client_id":"castray"}`
	asked := false
	web := &http.Client{Transport: transport(func(*http.Request) (*http.Response, error) { asked = true; return nil, context.Canceled })}
	for name, signsIn := range map[string]func(l *Launcher, newer *Session, s *slowStore){
		"before the reading, and it is not stored yet": func(l *Launcher, newer *Session, _ *slowStore) { l.vaultOf().owner.Store(newer) },
		"during the reading": func(l *Launcher, newer *Session, s *slowStore) {
			s.reading = func() { l.vaultOf().owner.Store(newer) }
		},
	} {
		t.Run(name, func(t *testing.T) {
			store := &slowStore{item: old}
			l := &Launcher{Site: Site{FHIRURL: "https://ehr.example/fhir", ClientID: "castray"}, HTTP: web, Store: store}
			newer := l.session(newWeb(l.Site, web), saved{Token: "https://ehr.example/token", ClientID: "castray"})
			newer.refresh = NewSecret("new")
			signsIn(l, newer, store)
			if s, err := l.Resume(t.Context()); s != nil || err == nil || asked {
				t.Errorf("resumed: %v, asked the server: %v", err, asked)
			}
			newer.keep(t.Context(), laterSave)
			if !strings.Contains(store.item, `"new"`) {
				t.Error("the newer sign-in is not stored")
			}
		})
	}
}

// SM-REF-06: a computer that slept must not believe in a token that did not, so no time of a token holds Go's own clock,
// which sleeps too.
func TestTimesAreOfTheWallClock(t *testing.T) {
	l := &Launcher{Site: Site{FHIRURL: "https://ehr.example/fhir", ClientID: "castray"}}
	s := l.session(newWeb(l.Site, nil), saved{})
	s.take(&tokenAnswer{access: "a", life: time.Hour})
	if now := time.Now(); now == now.Round(0) {
		t.Fatal("here there is no other clock")
	}
	for name, at := range map[string]time.Time{"received": s.access.received, "expires": s.access.expires, "renewAt": s.access.renewAt, "last": s.last, "due": s.due()} {
		if at.IsZero() || at != at.Round(0) {
			t.Errorf("%s is %v", name, at)
		}
	}
}

type transport func(*http.Request) (*http.Response, error)

func (t transport) RoundTrip(r *http.Request) (*http.Response, error) { return t(r) }

// SM-STORE-10: whatever a site is called and registered as, a sign-in, a secret and a key have names of their own.
func TestNamesInTheStoreDiffer(t *testing.T) {
	seen := map[string]string{}
	for _, clientID := range []string{"client", authSecret, authKey, "castray"} {
		for _, name := range []string{"", "client", authSecret, authKey, "castray"} {
			for _, auth := range []string{"", authSecret, authKey} {
				s := Site{FHIRURL: "https://ehr.example/fhir", ClientID: clientID, Name: name, Auth: auth}
				key, what := s.key(), "sign-in "+clientID+" "+name
				switch auth {
				case authSecret:
					key, what = s.credentialKey(), "secret "+clientID
				case authKey:
					key, what = s.credentialKey(), "key"
				}
				if other, there := seen[key]; there && other != what {
					t.Errorf("%q and %q have one name", other, what)
				}
				seen[key] = what
			}
		}
	}
	if want := 4*5 + 4 + 1; len(seen) != want {
		t.Errorf("%d names, want %d", len(seen), want)
	}
}
