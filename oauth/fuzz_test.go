package oauth

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

func FuzzRedirect(f *testing.F) {
	const state = "8h3jQ0m1b2c3d4e5f6g7h8i9j0k1l2m3n4o5p6q7r8s"
	for _, s := range []string{"", "state=" + state, "state=" + state + "&code=c", "state=" + state + "&code=a&code=b",
		"state=" + state + "&error=access_denied", "state=x&code=c", "state=" + state + "&code=c&iss=https://as.example", "%zz", "a;b", "state=%00"} {
		f.Add("GET", "/callback", "127.0.0.1:17321", s)
	}
	f.Add("POST", "/callback", "127.0.0.1:17321", "state="+state+"&code=c")
	f.Add("GET", "/done/", "evil.example", "")
	f.Add("GET", "/callback", "127.0.0.1:17321", "state="+state+"&error=x&error_description=<b>\u202e{user}&error_uri=https://as.example/<b>")
	f.Fuzz(func(t *testing.T, method, path, host, query string) {
		rc := newReceiver("127.0.0.1:17321", "http://127.0.0.1:17321/callback")
		a := &Attempt{launcher: new(Launcher), meta: &metadata{issuer: "https://as.example", authorize: "https://as.example/authorize"},
			rc: rc, state: state, answer: make(chan answer, 1), ending: newEnding()}
		rc.hold(a)
		r := &http.Request{Method: method, URL: &url.URL{Path: path, RawQuery: query}, Host: host, Header: http.Header{}}
		w := httptest.NewRecorder()
		rc.ServeHTTP(w, r)

		q, err := url.ParseQuery(query)
		right := method == "GET" && path == "/callback" && host == "127.0.0.1:17321" && err == nil &&
			len(q["state"]) == 1 && q.Get("state") == state && len(query) <= queryLimit
		if got := len(a.answer) == 1; got != right {
			t.Fatalf("ended the wait: %v, want %v", got, right)
		}
		if right {
			got := <-a.answer
			want := len(q["code"]) == 1 && q.Get("code") != "" && len(q["error"]) == 0 && len(q["iss"]) <= 1 &&
				(!q.Has("iss") || q.Get("iss") == "https://as.example")
			if (got.err == nil) != want || got.err == nil && got.code != q.Get("code") {
				t.Fatalf("answer %v", got.err)
			}
			a.ending.failed(got)
		}
		to := w.Header().Get("Location")
		if (to == a.ending.path) != right || to != "" && !right {
			t.Fatalf("redirected to %q", to)
		}
		last := httptest.NewRecorder()
		if right {
			rc.ServeHTTP(last, &http.Request{Method: "GET", URL: &url.URL{Path: to}, Host: host, Header: http.Header{}})
		}
		for _, page := range []string{w.Body.String(), last.Body.String()} {
			if strings.Contains(page, state) || markup(page) > markup(noticeNotSignedIn.html(false, facts{reason: "r", said: "s", help: "h"})) {
				t.Fatal("a page that is not one of ours")
			}
		}
	})
}

// markup counts what could begin or end an element or an attribute.
func markup(page string) int { return strings.Count(page, "<") + strings.Count(page, `"`) }

func FuzzTokens(f *testing.F) {
	for _, s := range []string{`{"access_token":"a","token_type":"Bearer"}`, `{"access_token":"a","expires_in":"3600.0","scope":["a b","c"]}`,
		`{"error":"invalid_grant"}`, `{}`, `null`, `[]`, `<html>`, `{"access_token":1e400}`, `{"access_token":"a","expires_in":1e999}`} {
		f.Add(200, s)
		f.Add(400, s)
	}
	f.Fuzz(func(t *testing.T, status int, body string) {
		const canary = "canary-7c1d"
		body = strings.ReplaceAll(body, "~", canary)
		a, err := parseTokens(&reply{status: status, header: http.Header{}, body: []byte(body)}, status%2 == 0)
		if err != nil {
			if strings.Contains(err.Error(), canary) || strings.Contains(Sentence(err), canary) || Sentence(err) == "" {
				t.Fatalf("error %q", err)
			}
			return
		}
		if status != 200 || !isToken(a.access) || a.life <= 0 || a.life > maxLife {
			t.Fatalf("accepted: status %d, life %v", status, a.life)
		}
	})
}
