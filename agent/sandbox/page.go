package sandbox

import (
	"bytes"
	"context"
	"crypto/subtle"
	"embed"
	"errors"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/castray/castray/bridge/hub"
)

//go:embed pages
var files embed.FS

var templates = template.Must(template.ParseFS(files, "pages/*.html"))

// A page is the EHR: what a person clicks, and what they see of the session. It serves everything below /ehr/.
type page struct {
	*Sandbox
	token string // in every form; a page of another origin cannot read it
}

func (p *page) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /ehr/{$}", p.show)
	mux.HandleFunc("GET /ehr/live", p.live)
	mux.HandleFunc("POST /ehr/act", p.act)
	mux.HandleFunc("GET /ehr/launch", p.launch)
	mux.HandleFunc("GET /ehr/ehr.css", static("pages/ehr.css"))
	mux.HandleFunc("GET /ehr/ehr.js", static("pages/ehr.js"))
	return http.NewCrossOriginProtection().Handler(guarded(mux))
}

func static(name string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) { http.ServeFileFS(w, r, files, name) }
}

// guarded lets a page load and run what is ours and nothing else. Referrer-Policy is not "no-referrer", since browsers
// then send "Origin: null" with our own form.
func guarded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	})
}

func (p *page) show(w http.ResponseWriter, r *http.Request) {
	u, err := p.user(r.URL.Query().Get("user"))
	if err != nil {
		http.Error(w, "There is no such user in this sandbox.", http.StatusNotFound)
		return
	}
	p.draw(w, r, u, http.StatusOK, "")
}

// draw writes the whole page, with a sentence on top where something did not work.
func (p *page) draw(w http.ResponseWriter, r *http.Request, u user, status int, notice string) {
	live, err := p.liveView(r.Context(), u)
	if err != nil {
		http.Error(w, "The session is gone.", http.StatusInternalServerError)
		return
	}
	v := pageView{User: userView{ID: u.id, Name: u.name, Current: true}, Token: p.token, Notice: notice, Patients: p.hospital.patientsView(), Live: live,
		Launches: p.launches.port != 0}
	for _, one := range p.users {
		v.Users = append(v.Users, userView{ID: one.id, Name: one.name, Current: one == u})
	}
	var out bytes.Buffer
	if err := templates.ExecuteTemplate(&out, "ehr.html", v); err != nil {
		p.log.Error("page not drawn", "error", err)
		http.Error(w, "The page cannot be drawn.", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = out.WriteTo(w) // a browser that left is no news
}

// act does what a button says: "open Patient/p01", "close" (what is current), "close Patient/p01", "home", "logout". The
// script asks for text and gets a status alone; a plain form gets the page again.
func (p *page) act(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
	if err := r.ParseForm(); err != nil || subtle.ConstantTimeCompare([]byte(r.PostForm.Get("token")), []byte(p.token)) != 1 {
		http.Error(w, "This page is from another sandbox. Load it again.", http.StatusForbidden)
		return
	}
	u, err := p.user(r.PostForm.Get("user"))
	if err != nil {
		http.Error(w, "There is no such user in this sandbox.", http.StatusNotFound)
		return
	}
	err = p.do(r.Context(), u, r.PostForm.Get("do"))
	script := r.Header.Get("Accept") == "text/plain"
	switch {
	case err == nil && script:
		w.WriteHeader(http.StatusNoContent)
	case err == nil:
		http.Redirect(w, r, "/ehr/?user="+url.QueryEscape(u.id), http.StatusSeeOther)
	case script:
		status, sentence := explain(err)
		http.Error(w, sentence, status)
	default:
		status, sentence := explain(err)
		p.draw(w, r, u, status, sentence)
	}
}

func (p *page) do(ctx context.Context, u user, what string) (err error) {
	verb, reference, about := strings.Cut(what, " ")
	kind, id, _ := strings.Cut(reference, "/")
	switch {
	case verb == "open" && about:
		_, err = p.Open(ctx, u.id, kind, id)
	case verb == "close" && about:
		_, err = p.closeOpen(ctx, u.id, reference)
	case verb == "close":
		_, err = p.CloseCurrent(ctx, u.id)
	case verb == "home":
		_, err = p.Home(ctx, u.id)
	case verb == "logout":
		_, err = p.Logout(ctx, u.id)
	default:
		err = errButton
	}
	return err
}

var errButton = errors.New("no such button")

// explain turns an error into what the page says.
func explain(err error) (status int, sentence string) {
	if refusal, ok := errors.AsType[*hub.StatusError](err); ok {
		return refusal.Status, "The hub refused: " + refusal.Reason + "."
	}
	switch {
	case errors.Is(err, ErrNothingOpen):
		return http.StatusConflict, "Nothing is open in front."
	case errors.Is(err, fs.ErrNotExist):
		return http.StatusNotFound, "That is not there, or not open any more."
	case errors.Is(err, errButton):
		return http.StatusBadRequest, "The page has no such button."
	}
	return http.StatusInternalServerError, "That did not work."
}

// stillThere is how often a quiet stream says something, so that one whose browser is gone ends.
const stillThere = 20 * time.Second

// live sends the changing part of the page whenever it changes, as server-sent events.
func (p *page) live(w http.ResponseWriter, r *http.Request) {
	u, err := p.user(r.URL.Query().Get("user"))
	if err != nil {
		http.Error(w, "There is no such user in this sandbox.", http.StatusNotFound)
		return
	}
	changed, stop := p.hub.Watch(r.Context(), u.topic)
	defer stop()
	w.Header().Set("Content-Type", "text/event-stream")
	out := http.NewResponseController(w)
	quiet := time.NewTicker(stillThere)
	defer quiet.Stop()
	message, err := p.message(r.Context(), u)
	for err == nil {
		if _, err = w.Write(message); err == nil {
			err = out.Flush()
		}
		if err != nil {
			return
		}
		select {
		case <-r.Context().Done():
			return
		case <-changed:
			message, err = p.message(r.Context(), u)
		case <-quiet.C:
			message = []byte(":\n\n")
		}
	}
	p.log.Error("live part not drawn", "error", err)
}

// message is the live part as one server-sent event.
func (p *page) message(ctx context.Context, u user) ([]byte, error) {
	v, err := p.liveView(ctx, u)
	if err != nil {
		return nil, err
	}
	var html, out bytes.Buffer
	if err := templates.ExecuteTemplate(&html, "live.html", v); err != nil {
		return nil, err
	}
	for line := range strings.SplitSeq(strings.ReplaceAll(html.String(), "\r", "\n"), "\n") { // a lone CR ends a line there too
		fmt.Fprintf(&out, "data: %s\n", line)
	}
	out.WriteString("\n")
	return out.Bytes(), nil
}
