package oauth_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"io"
	"io/fs"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/castray/castray/oauth"
	"github.com/castray/castray/oauth/oauthtest"
)

const topic = "topic-canary-3141592653"

// world is a sign-in server, a launcher for it, a browser and a store.
type world struct {
	as    *oauthtest.Server
	ts    *httptest.Server
	l     *oauth.Launcher
	store *store
	logs  *lockedBuffer
	hub   *hub
}

// signingKey is made once: under the race detector it takes half a second.
var signingKey = sync.OnceValue(func() *rsa.PrivateKey {
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return k
})

// newWorld starts the servers over TLS. The "browser" follows redirects, which
// with AutoApprove signs in.
func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{store: &store{items: map[string][]byte{}}, logs: &lockedBuffer{more: make(chan struct{}, 1)}, hub: new(hub)}
	w.as = &oauthtest.Server{
		ClientID: "castray", AutoApprove: true, Key: signingKey(),
		Users: []oauthtest.User{
			{ID: "u1", Name: "R. Reader", FHIRUser: "Practitioner/reader"},
			{ID: "u2", Name: "S. Second", FHIRUser: "Practitioner/second"},
		},
	}
	mux := http.NewServeMux()
	mux.Handle("/", w.as)
	mux.Handle("/hub/", w.hub)
	w.ts = httptest.NewTLSServer(mux)
	t.Cleanup(w.ts.Close)
	w.as.Hub = func(string) (string, string) { return w.ts.URL + "/hub/", topic }
	w.hub.check = func(token string) bool { _, ok := w.as.Check(token); return ok }
	w.l = w.launcher()
	return w
}

func (w *world) launcher() *oauth.Launcher {
	return &oauth.Launcher{
		Site: oauth.Site{
			Name: "General Hospital", FHIRURL: w.ts.URL + "/fhir", ClientID: "castray",
			Scopes: []string{"openid", "fhirUser", "offline_access", "fhircast/Patient-open.read"},
		},
		HTTP: w.ts.Client(), Store: w.store, OpenURL: w.browse,
		Log: slog.New(slog.NewTextHandler(w.logs, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
}

func (w *world) browse(ctx context.Context, address string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return err
	}
	resp, err := w.ts.Client().Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return err
}

func (w *world) signIn(t *testing.T) *oauth.Session {
	t.Helper()
	s, err := w.l.SignIn(t.Context())
	if err != nil {
		t.Fatalf("SignIn: %v\n%s", err, w.logs)
	}
	return s
}

// tokenForms returns what the token endpoint was sent.
func (w *world) tokenForms() []url.Values {
	var forms []url.Values
	for _, r := range w.as.Requests() {
		if r.Path == "/auth/token" {
			forms = append(forms, r.Form)
		}
	}
	return forms
}

// hub answers 401 unless check likes the token.
type hub struct {
	check  func(token string) bool
	mu     sync.Mutex
	tokens []string
	bodies []string
}

func (h *hub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	token := r.Header.Get("Authorization")
	h.mu.Lock()
	h.tokens = append(h.tokens, token)
	h.bodies = append(h.bodies, string(body))
	h.mu.Unlock()
	const bearer = "Bearer "
	if len(token) < len(bearer) || !h.check(token[len(bearer):]) {
		w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
		w.WriteHeader(http.StatusUnauthorized)
	}
}

func (h *hub) count() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.tokens)
}

// store is a keychain that fails on request and keeps what it was told.
type store struct {
	mu      sync.Mutex
	items   map[string][]byte
	saves   int
	saveErr error
	loadErr error
	delErr  error
	onSave  func([]byte)
	locked  bool          // as by another process
	lockErr error         // there is no lock to be had
	bare    int           // calls by somebody who did not have the lock
	within  time.Duration // that the last save had
}

// touched is called with mu held, by all that the lock is for.
func (s *store) touched() {
	if !s.locked {
		s.bare++
	}
}

// Lock is polled, as that of a file is.
func (s *store) Lock(ctx context.Context, _ string) (unlock func(), err error) {
	for {
		s.mu.Lock()
		free, err := !s.locked, s.lockErr
		s.locked = s.locked || err == nil
		s.mu.Unlock()
		switch {
		case err != nil:
			return nil, err
		case free:
			return func() { s.hold(false) }, nil
		}
		t := time.NewTimer(10 * time.Millisecond)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return nil, ctx.Err()
		}
	}
}

// hold is another process that takes the lock, or gives it back.
func (s *store) hold(locked bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.locked = locked
}

func (s *store) Load(_ context.Context, key string) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.touched()
	if s.loadErr != nil {
		return nil, s.loadErr
	}
	b, ok := s.items[key]
	if !ok {
		return nil, fs.ErrNotExist
	}
	return bytes.Clone(b), nil
}

func (s *store) Save(ctx context.Context, key string, value []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if deadline, ok := ctx.Deadline(); ok {
		s.within = time.Until(deadline)
	}
	s.touched()
	s.saves++
	if s.onSave != nil {
		s.onSave(value)
	}
	if s.saveErr != nil {
		return s.saveErr
	}
	s.items[key] = bytes.Clone(value)
	return nil
}

func (s *store) Delete(_ context.Context, key string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.touched()
	if s.delErr != nil {
		return s.delErr
	}
	delete(s.items, key)
	return nil
}

func (s *store) failing(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.saveErr = err
}

func (s *store) count() (items, saves int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.items), s.saves
}

// all is everything that is stored, as one text.
func (s *store) all() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var b bytes.Buffer
	for k, v := range s.items {
		b.WriteString(k)
		b.Write(v)
	}
	return b.String()
}

type lockedBuffer struct {
	mu   sync.Mutex
	b    bytes.Buffer
	more chan struct{}
}

// await returns when text is there; the test's timeout is the limit.
func (b *lockedBuffer) await(text string) {
	for !strings.Contains(b.String(), text) {
		<-b.more
	}
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	select {
	case b.more <- struct{}{}:
	default:
	}
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// fetch GETs address, or POSTs form to it, and returns the body.
func fetch(ctx context.Context, c *http.Client, address string, form url.Values) (string, error) {
	method, body := http.MethodGet, ""
	if form != nil {
		method, body = http.MethodPost, form.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, method, address, strings.NewReader(body))
	if err != nil {
		return "", err
	}
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	resp, err := c.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return string(b), err
}

func discardLog() *log.Logger { return log.New(io.Discard, "", 0) }
