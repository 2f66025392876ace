package oauth

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"html"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode"
)

// urlLimit is how many bytes of an address browsers and servers take.
const urlLimit = 8000

// ours are parameters of the authorization request that no setting may touch:
// they make the sign-in safe, or bring the answer elsewhere than to us. max_age
// is none of SMART's, and servers that do not know it refuse.
var ours = []string{"response_type", "response_mode", "client_id", "client_secret", "redirect_uri", "scope", "aud", "launch", "state", "nonce",
	"code_challenge", "code_challenge_method", "request", "request_uri", "max_age"}

// CheckParameter says what is wrong with an entry of Site.Authorize, to be read
// behind its place: "entry 2 is no name=value".
func CheckParameter(entry string) error {
	name, value, found := strings.Cut(entry, "=")
	switch {
	case !found || name == "" || strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r >= 0x7f || strings.ContainsRune(`&?#%"'<>`, r) }):
		return errors.New("is no name=value")
	case strings.ContainsFunc(value, unicode.IsControl):
		return errors.New("has a value of more than one line")
	case slices.ContainsFunc(ours, func(o string) bool { return strings.EqualFold(o, name) }):
		return errors.New("sets what Castray sets itself")
	}
	return nil
}

// parameters is the authorization request (SMART 2.2 app-launch, 2.0.6; RFC
// 6749, 4.1.1). A standalone launch has no launch parameter.
func (a *Attempt) parameters() url.Values {
	site := a.site
	q := url.Values{}
	for _, p := range site.Authorize {
		name, value, _ := strings.Cut(p, "=")
		q.Set(name, value)
	}
	q.Set("response_type", "code")
	q.Set("client_id", site.ClientID)
	q.Set("redirect_uri", a.rc.uri)
	q.Set("scope", strings.Join(site.Scopes, " "))
	q.Set("aud", site.FHIRURL)
	q.Set("state", a.state)
	q.Set("code_challenge", challenge(a.verifier.Reveal()))
	q.Set("code_challenge_method", "S256")
	if a.nonce != "" {
		q.Set("nonce", a.nonce)
	}
	if !a.ehr.Launch.IsZero() {
		q.Set("launch", a.ehr.Launch.Reveal())
	}
	if prompt := strings.Fields(q.Get("prompt")); a.anew && !slices.Contains(prompt, "login") {
		q.Set("prompt", strings.Join(append(prompt, "login"), " ")) // beside what the site wants, consent perhaps
	}
	return q
}

// build makes the URL: that of the request itself or, where it would be too long
// for browsers, that of a page of ours from which the browser posts it. A request
// by GET is the rule, since a POST from another site brings no session cookie of
// the server: who is signed in there would have to do it again.
func (a *Attempt) build() error {
	u, err := url.Parse(a.meta.authorize)
	if err != nil {
		return endpointError("authorization_endpoint", "is not a URL")
	}
	q, own := u.Query(), a.parameters()
	maps.Copy(q, own)
	u.RawQuery = q.Encode()
	if a.URL = u.String(); len(a.URL) <= urlLimit {
		return nil
	}
	if a.rc.srv == nil {
		return &failure{doing: "authorize: the address is over 8000 bytes",
			sentence: "This site asks for so much that browsers refuse the address: your administrator has to set redirect = \"loopback\", or list fewer events."}
	}
	page := &postPage{path: postPath + random(), html: formOf(a.meta.authorize, own)}
	a.rc.mu.Lock()
	a.post = page
	a.rc.mu.Unlock()
	a.URL = "http://" + a.rc.host + page.path
	return nil
}

// A postPage sends the browser on with the request as a form. Its path cannot be
// guessed: what it holds would let another user of this computer sign in for us.
type postPage struct{ path, html string }

const (
	postPath   = "/authorize/"
	postScript = `HTMLFormElement.prototype.submit.call(document.forms[0])`
)

// formOf is a page that submits itself, with a button for browsers that run no
// scripts.
func formOf(action string, fields url.Values) string {
	var b strings.Builder
	b.WriteString(pageTop("en", "busy", "Signing in") + `<form method="post" action="` + html.EscapeString(action) + `">`)
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		b.WriteString(`<input type="hidden" name="` + html.EscapeString(name) + `" value="` + html.EscapeString(fields.Get(name)) + `">`)
	}
	b.WriteString(`<button>Go on to the sign-in page</button></form><script>` + postScript + `</script>` + pageEnd)
	return b.String()
}

// posts serves the page of the attempt that waits, and tells whether r was for it.
func (rc *receiver) posts(w http.ResponseWriter, r *http.Request) bool {
	rc.mu.Lock()
	var page *postPage
	if rc.current != nil {
		page = rc.current.post
	}
	rc.mu.Unlock()
	if page == nil || r.Method != http.MethodGet || subtle.ConstantTimeCompare([]byte(page.path), []byte(r.URL.Path)) != 1 {
		return false
	}
	head(w)
	// Without form-action: browsers hold the redirects that follow a form to it,
	// and those lead through hosts that only the server knows.
	sum := sha256.Sum256([]byte(postScript))
	w.Header().Set("Content-Security-Policy", strings.Replace(w.Header().Get("Content-Security-Policy"), "form-action 'none'",
		"script-src 'sha256-"+base64.StdEncoding.EncodeToString(sum[:])+"'", 1))
	send(w, http.StatusOK, page.html)
	return true
}
