package oauth_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/castray/castray/oauth"
	"github.com/castray/castray/oauth/oauthtest"
)

func TestIntrospect(t *testing.T) {
	// SM-REV-04: with the token itself as the bearer, and only when asked.
	w := newWorld(t)
	s := w.signIn(t)
	if err := s.Refresh(t.Context()); err != nil || w.as.Count("/auth/introspect") != 0 {
		t.Fatalf("%v, asked %d times by itself", err, w.as.Count("/auth/introspect"))
	}
	active, err := s.Introspect(t.Context())
	if err != nil || !active {
		t.Errorf("active %v, %v", active, err)
	}
	last := w.as.Requests()[len(w.as.Requests())-1]
	if last.Path != "/auth/introspect" || last.Header.Get("Authorization") != "Bearer "+last.Form.Get("token") || len(last.Form) != 1 {
		t.Error("it was asked in another way than SMART's")
	}
	if err := s.SignOut(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Introspect(t.Context()); !errors.Is(err, oauth.ErrLoginNeeded) || w.as.Count("/auth/introspect") != 1 {
		t.Errorf("signed out: %v", err)
	}
}

func TestIntrospectionThatIsNotOffered(t *testing.T) {
	// SM-REV-04: a server that wants more than the token does not offer it to us.
	for _, c := range []struct {
		name        string
		status      int
		body        string
		active      bool
		unsupported bool
		says        string // of an error of another kind
	}{
		{"active", 200, `{"active":true,"sub":"somebody"}`, true, false, ""},
		{"not active", 200, `{"active":false}`, false, false, ""},
		{"wants a client to prove itself", 401, `{"error":"invalid_client"}`, false, true, ""},
		{"knows no such request", 400, "", false, true, ""},
		{"forbidden", 403, "", false, true, ""},
		{"is not there", 404, "<html>", false, true, ""},
		{"is broken", 503, "", false, false, "503"},
		{"says nothing", 200, `{}`, false, false, "does not say"},
		{"is a portal", 200, `<html>`, false, false, "web page"},
	} {
		w := newWorld(t)
		w.ts.Config.Handler.(*http.ServeMux).HandleFunc("/elsewhere", func(rw http.ResponseWriter, r *http.Request) {
			rw.WriteHeader(c.status)
			_, _ = rw.Write([]byte(c.body))
		})
		w.as.Misbehave(oauthtest.Faults{Configuration: map[string]any{"introspection_endpoint": w.ts.URL + "/elsewhere"}})
		s := w.signIn(t)
		active, err := s.Introspect(t.Context())
		if active != c.active || errors.Is(err, errors.ErrUnsupported) != c.unsupported {
			t.Errorf("%s: %v, %v", c.name, active, err)
		}
		if fails := c.unsupported || c.says != ""; fails != (err != nil) || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", c.name, err)
		}
		if !s.Renews() {
			t.Errorf("%s: that changed the session", c.name)
		}
	}
	w := newWorld(t)
	w.as.Misbehave(oauthtest.Faults{Configuration: map[string]any{"introspection_endpoint": nil}})
	if _, err := w.signIn(t).Introspect(t.Context()); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("no endpoint: %v", err)
	}
}
