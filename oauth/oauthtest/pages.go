package oauthtest

import (
	"html/template"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// authorize is RFC 6749, 4.1.1 with RFC 7636 and SMART's aud. Whatever makes
// the redirect address doubtful ends on a page here, never in a redirect.
func (s *Server) authorize(w http.ResponseWriter, r *http.Request, f Faults) {
	q := r.Form
	switch {
	case s.ClientID != "" && q.Get("client_id") != s.ClientID:
		s.page(w, http.StatusBadRequest, "error", "This client_id is not registered.")
		return
	case !loopbackRedirect(q.Get("redirect_uri")) && !slices.Contains(s.Redirects, q.Get("redirect_uri")):
		s.page(w, http.StatusBadRequest, "error", "This redirect_uri is not registered: http://127.0.0.1:<port>/callback is.")
		return
	case f.MixUp != "":
		http.Redirect(w, r, f.MixUp+"?"+q.Encode(), http.StatusFound)
		return
	case f.BrowserStays:
		s.page(w, http.StatusInternalServerError, "error", "The server has a problem.")
		return
	}
	t := ticket{
		client: q.Get("client_id"), redirect: q.Get("redirect_uri"), state: q.Get("state"), scope: q.Get("scope"),
		challenge: q.Get("code_challenge"), nonce: q.Get("nonce"),
	}
	aud := strings.TrimSuffix(q.Get("aud"), "/")
	switch {
	case q.Get("response_type") != "code":
		s.back(w, r, t, f, "unsupported_response_type")
	case q.Get("code_challenge_method") != "S256" || len(t.challenge) != 43 || len(t.state) < 21 || aud != origin(r)+s.fhirPath():
		s.back(w, r, t, f, "invalid_request")
	case strings.TrimSpace(t.scope) == "":
		s.back(w, r, t, f, "invalid_scope")
	case len(s.Users) == 0:
		s.back(w, r, t, f, "access_denied")
	case q.Has("launch"):
		s.launched(w, r, t, f)
	case s.AutoApprove:
		s.back(w, r, t, f, "")
	default:
		s.page(w, http.StatusOK, "login", map[string]any{"Ticket": s.put(t), "Users": s.Users})
	}
}

// launched goes on with an EHR launch (SMART 2.2, app-launch, 2.0.4): the EHR knows who its user is.
func (s *Server) launched(w http.ResponseWriter, r *http.Request, t ticket, f Faults) {
	id, ok := "", true
	if s.Launch != nil {
		id, ok = s.Launch(r.Form.Get("launch"))
	}
	known := slices.IndexFunc(s.Users, func(u User) bool { return u.ID == id })
	t.user = max(known, 0)
	switch {
	case !ok || id != "" && known < 0:
		s.back(w, r, t, f, "invalid_request")
	case !slices.Contains(strings.Fields(t.scope), "launch"):
		s.back(w, r, t, f, "invalid_scope")
	case s.AutoApprove:
		s.back(w, r, t, f, "")
	case known >= 0:
		s.consentPage(w, t)
	default:
		s.page(w, http.StatusOK, "login", map[string]any{"Ticket": s.put(t), "Users": s.Users})
	}
}

func (s *Server) consentPage(w http.ResponseWriter, t ticket) {
	s.page(w, http.StatusOK, "consent", map[string]any{
		"Ticket": s.put(t), "User": s.Users[t.user], "Client": t.client, "Scopes": strings.Fields(t.scope),
	})
}

func (s *Server) login(w http.ResponseWriter, r *http.Request) {
	t, ok := s.takeTicket(r.PostForm.Get("ticket"))
	n, err := strconv.Atoi(r.PostForm.Get("user"))
	if !ok || err != nil || n < 0 || n >= len(s.Users) {
		s.page(w, http.StatusBadRequest, "error", "This page is too old. Start the sign-in again.")
		return
	}
	t.user = n
	s.consentPage(w, t)
}

func (s *Server) consent(w http.ResponseWriter, r *http.Request, f Faults) {
	t, ok := s.takeTicket(r.PostForm.Get("ticket"))
	if !ok {
		s.page(w, http.StatusBadRequest, "error", "This page is too old. Start the sign-in again.")
		return
	}
	if r.PostForm.Get("answer") != "allow" {
		s.back(w, r, t, f, "access_denied")
		return
	}
	s.back(w, r, t, f, "")
}

// back redirects with a code or an error (RFC 6749, 4.1.2; RFC 9207).
func (s *Server) back(w http.ResponseWriter, r *http.Request, t ticket, f Faults, problem string) {
	q := url.Values{"state": {t.state}, "iss": {s.issuer(r)}}
	if f.WrongState {
		q.Set("state", unguessable())
	}
	if f.WrongIssuer {
		q.Set("iss", "https://other.example/auth")
	}
	if f.Issuer != "" {
		q.Set("iss", at(r, f.Issuer))
	}
	if f.NoIssuer {
		q.Del("iss")
	}
	if f.Error != "" {
		problem = f.Error
	}
	switch {
	case problem != "":
		q.Set("error", problem)
		q.Set("error_description", "The server said "+problem+".")
		if f.Description != "" {
			q.Set("error_description", f.Description)
		}
		if f.MoreAt != "" {
			q.Set("error_uri", at(r, f.MoreAt))
		}
	case !f.NoCode:
		q.Set("code", s.newCode(t))
		if f.TwoCodes {
			q.Add("code", unguessable())
		}
	}
	http.Redirect(w, r, t.redirect+"?"+q.Encode(), http.StatusFound)
}

func (s *Server) newCode(t ticket) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.codes == nil {
		s.codes = map[string]*code{}
	}
	c := unguessable()
	s.families++
	s.codes[c] = &code{ticket: t, expires: time.Now().Add(s.codeLife()), family: s.families}
	return c
}

const maxTickets = 1000 // more people than that are not on the pages at once

func (s *Server) put(t ticket) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.tickets == nil || len(s.tickets) >= maxTickets {
		s.tickets = map[string]ticket{}
	}
	id := unguessable()
	s.tickets[id] = t
	return id
}

func (s *Server) takeTicket(id string) (ticket, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, ok := s.tickets[id]
	delete(s.tickets, id)
	return t, ok
}

// loopbackRedirect accepts any port of the loopback (RFC 8252, 7.3).
func loopbackRedirect(raw string) bool {
	u, err := url.Parse(raw)
	if err != nil || u.Scheme != "http" || u.Path != "/callback" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return false
	}
	ip := net.ParseIP(u.Hostname())
	return ip != nil && ip.IsLoopback() && u.Port() != ""
}

func (s *Server) page(w http.ResponseWriter, status int, name string, data any) {
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Referrer-Policy", "no-referrer")
	// No form-action: browsers apply it to the redirect that follows a form.
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'")
	w.WriteHeader(status)
	_ = pages.ExecuteTemplate(w, name, data) // a browser that left is no news
}

var pages = template.Must(template.New("").Parse(`
{{define "top"}}<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{{.}}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
:root{color-scheme:light dark;--line:#8886;--go:#0b6bcb}
*{box-sizing:border-box}
body{font:1rem/1.5 system-ui,sans-serif;margin:0;min-height:100vh;display:grid;place-items:center;background:Canvas;color:CanvasText}
main{width:min(28rem,94vw);margin:1rem;padding:2rem;border:1px solid var(--line);border-radius:.75rem}
h1{font-size:1.4rem;margin:0 0 .5rem}
.test{display:inline-block;font-size:.8rem;font-weight:600;border:1px solid;border-radius:.3rem;padding:0 .4rem;margin-bottom:1rem}
ul{padding:0;list-style:none}
li{margin:.25rem 0}
code{font-size:.9rem;overflow-wrap:anywhere}
button{font:inherit;width:100%;padding:.7rem 1rem;border-radius:.5rem;border:1px solid var(--line);background:ButtonFace;color:ButtonText;cursor:pointer;text-align:left}
button small{display:block;opacity:.75}
button:focus-visible{outline:3px solid var(--go);outline-offset:2px}
.row{display:flex;gap:.75rem;margin-top:1.5rem}
.row button{text-align:center}
#allow{background:var(--go);border-color:var(--go);color:#fff}
</style></head><body><main><span class="test">TEST: no real patients</span>{{end}}

{{define "login"}}{{template "top" "Sign in"}}
<h1>Who are you?</h1><p>Choose the user to sign in as.</p>
<form method="post" action="/auth/login"><input type="hidden" name="ticket" value="{{.Ticket}}">
<ul>{{range $i, $u := .Users}}
<li><button id="user-{{$i}}" name="user" value="{{$i}}">{{$u.Name}}<small>{{$u.FHIRUser}}</small></button></li>{{end}}
</ul></form></main></body></html>{{end}}

{{define "consent"}}{{template "top" "Allow access"}}
<h1>Allow {{.Client}}?</h1><p>{{.User.Name}}, this program asks for:</p>
<ul>{{range .Scopes}}
<li><code>{{.}}</code></li>{{end}}
</ul>
<form method="post" action="/auth/consent" class="row"><input type="hidden" name="ticket" value="{{.Ticket}}">
<button id="deny" name="answer" value="deny">Deny</button>
<button id="allow" name="answer" value="allow">Allow</button></form></main></body></html>{{end}}

{{define "error"}}{{template "top" "Not possible"}}
<h1>That did not work</h1><p id="error">{{.}}</p></main></body></html>{{end}}
`))
