package sandbox

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// TestMain proves that whatever a sandbox started has ended.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is for what happens at once on any machine that works.
const patience = 10 * time.Second

// start runs a sandbox until the test ends.
func start(t *testing.T, c Config) *Sandbox {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	s, err := New(ctx, c)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return s
}

// browser is a client that trusts the sandbox and stays where it is sent away from.
func browser(t *testing.T, s *Sandbox) *http.Client {
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: s.CertPool()}, ForceAttemptHTTP2: true}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: patience,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// fetch does a request and reads the whole answer.
func fetch(t *testing.T, c *http.Client, method, address string, form url.Values, header ...string) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequest(method, address, strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	if host := r.Header.Get("Host"); host != "" {
		r.Host = host
	}
	w, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Body.Close()
	body, err := io.ReadAll(w.Body)
	if err != nil {
		t.Fatal(err)
	}
	return w, string(body)
}

func TestOnlyLoopbackIsServed(t *testing.T) {
	for _, listen := range []string{"0.0.0.0:0", ":0", "[::]:0", "192.0.2.1:0", "sandbox.example:0", "127.0.0.1", "127.0.0.2:0"} {
		if s, err := New(t.Context(), Config{Listen: listen}); err == nil {
			s.listener.Close()
			t.Errorf("%s is listened on", listen)
		} else if !strings.HasPrefix(err.Error(), "the sandbox listens on ") {
			t.Errorf("%s: %v", listen, err)
		}
	}
	s := start(t, Config{Listen: "localhost:0"})
	if w, _ := fetch(t, browser(t, s), "GET", s.Info().EHRURL, nil, "Host", "rebound.example"); w.StatusCode != http.StatusMisdirectedRequest {
		t.Errorf("a foreign name for this machine: %s", w.Status)
	}
	if w, _ := fetch(t, browser(t, s), "GET", s.Info().EHRURL, nil, "Host", "localhost:1"); w.StatusCode != http.StatusOK {
		t.Errorf("localhost: %s", w.Status)
	}
}

func TestAPortInUseIsAnError(t *testing.T) {
	s := start(t, Config{})
	if _, err := New(t.Context(), Config{Listen: s.listener.Addr().String()}); err == nil || !strings.HasPrefix(err.Error(), "sandbox: ") {
		t.Error(err)
	}
	if _, err := New(t.Context(), Config{Users: maxUsers + 1}); err == nil {
		t.Error("too many users")
	}
}

// DESIGN 3.1: the names that scripts rely on.
func TestInfoIsTheContract(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "folder")
	s := start(t, Config{Dir: dir, Users: 2})
	raw, err := json.Marshal(s.Info())
	if err != nil {
		t.Fatal(err)
	}
	info := decode(t, raw)
	origin := "https://" + s.listener.Addr().String()
	for name, want := range map[string]string{
		"fhir_url": origin + "/fhir", "ehr_url": origin + "/ehr/", "hub_url": origin + "/hub", "client_id": "castray",
		"ca_file": filepath.Join(dir, "ca.pem"), "config_file": filepath.Join(dir, "castray.toml"), "topic": s.Topic("reader1").Reveal(),
	} {
		if info[name] != want {
			t.Errorf("%s is %v, want %s", name, info[name], want)
		}
	}
	if len(info) != 8 || len(info["admin_token"].(string)) < 20 {
		t.Errorf("%d members: %v", len(info), info)
	}
	if s.Topic("reader1") == s.Topic("reader2") || s.Topic("reader3") != "" || s.Topic("") != s.Topic("reader1") {
		t.Error("topics do not belong to users")
	}
}

func TestFilesAreForTheirOwner(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "castray-static.toml"), []byte("old"), 0o644); err != nil {
		t.Fatal(err)
	}
	s := start(t, Config{Dir: dir})
	static, err := s.WriteStaticConfig()
	if err != nil {
		t.Fatal(err)
	}
	modes := map[string]fs.FileMode{"ca.pem": 0o644, "castray.toml": 0o600, "castray-static.toml": 0o600, "token": 0o600}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		want, known := modes[e.Name()]
		if !known || runtime.GOOS != "windows" && info.Mode().Perm() != want {
			t.Errorf("%s has mode %v", e.Name(), info.Mode())
		}
	}
	if len(entries) != len(modes) {
		t.Errorf("%d files", len(entries))
	}
	text, err := os.ReadFile(static)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{`url = "` + s.Info().HubURL + `"`, `topic = "` + s.Info().Topic + `"`, "test = true"} {
		if !strings.Contains(string(text), line+"\n") {
			t.Errorf("no line %s", line)
		}
	}
	block, _ := pem.Decode(must(os.ReadFile(s.Info().CAFile)))
	if cert, err := x509.ParseCertificate(block.Bytes); err != nil || !cert.Equal(s.ca.cert) {
		t.Error("ca.pem is not the authority", err)
	}
}

func must(b []byte, err error) []byte {
	if err != nil {
		panic(err)
	}
	return b
}

func TestWithoutAFolderNothingIsWritten(t *testing.T) {
	t.Chdir(t.TempDir())
	s := start(t, Config{})
	if info := s.Info(); info.CAFile != "" || info.ConfigFile != "" {
		t.Errorf("%+v", info)
	}
	if _, err := s.WriteStaticConfig(); err == nil {
		t.Error("a configuration without a folder")
	}
	if entries, err := os.ReadDir("."); err != nil || len(entries) != 0 {
		t.Error(entries, err)
	}
}

func TestPathsOfAnySystemCanBeQuoted(t *testing.T) {
	if got := quote(`C:\Users\R "x"\ca.pem`); got != `"C:\\Users\\R \"x\"\\ca.pem"` {
		t.Error(got)
	}
}

// The authority can vouch for this machine alone.
func TestTheAuthorityVouchesForLoopbackOnly(t *testing.T) {
	a, err := newAuthority(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(a.server.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	for name, fine := range map[string]bool{"localhost": true, "127.0.0.1": true, "::1": true, "hub.example": false, "192.0.2.1": false} {
		if _, err := leaf.Verify(x509.VerifyOptions{Roots: a.pool(), DNSName: name}); (err == nil) != fine {
			t.Errorf("%s: %v", name, err)
		}
	}
	if !a.cert.PermittedDNSDomainsCritical || len(a.cert.PermittedDNSDomains) != 1 || len(a.cert.PermittedIPRanges) != 2 || !a.cert.MaxPathLenZero {
		t.Error("the authority is not bound to this machine")
	}
}

// signIn is what a browser and an app do together when everybody allows.
func signIn(t *testing.T, s *Sandbox, scope string) map[string]any {
	t.Helper()
	c, info := browser(t, s), s.Info()
	_, text := fetch(t, c, "GET", info.FHIRURL+"/.well-known/smart-configuration", nil)
	smart := decode(t, []byte(text))
	verifier := strings.Repeat("v", 50)
	sum := sha256.Sum256([]byte(verifier))
	w, text := fetch(t, c, "GET", smart["authorization_endpoint"].(string)+"?"+url.Values{
		"response_type": {"code"}, "client_id": {info.ClientID}, "redirect_uri": {"http://127.0.0.1:9/callback"}, "scope": {scope},
		"state": {strings.Repeat("s", 30)}, "aud": {info.FHIRURL}, "code_challenge_method": {"S256"},
		"code_challenge": {base64.RawURLEncoding.EncodeToString(sum[:])}}.Encode(), nil)
	back, err := url.Parse(w.Header.Get("Location"))
	if err != nil || back.Query().Get("code") == "" {
		t.Fatalf("no code: %s %s", w.Status, text)
	}
	_, text = fetch(t, c, "POST", smart["token_endpoint"].(string), url.Values{"grant_type": {"authorization_code"}, "client_id": {info.ClientID},
		"code": {back.Query().Get("code")}, "redirect_uri": {"http://127.0.0.1:9/callback"}, "code_verifier": {verifier}})
	return decode(t, []byte(text))
}

func TestASignInOpensTheRecordsAndTheSession(t *testing.T) {
	s := start(t, Config{AutoApprove: true})
	token := signIn(t, s, "openid fhirUser user/Patient.rs fhircast/Patient-open.read")
	if token["hub.url"] != s.Info().HubURL || token["hub.topic"] != s.Info().Topic {
		t.Error("the sign-in does not name the session")
	}
	c, bearer := browser(t, s), "Bearer "+token["access_token"].(string)
	for address, status := range map[string]int{
		s.Info().FHIRURL + "/Patient?name=rossi":                200,
		s.Info().FHIRURL + "/Practitioner/reader1":              200,
		s.Info().FHIRURL + "/ImagingStudy":                      403,
		s.Info().HubURL + "/" + s.Info().Topic:                  200, // the current context
		s.Info().HubURL + "/" + strings.Repeat("A", 26):         404,
		s.Info().HubURL + "/.well-known/fhircast-configuration": 200,
	} {
		if w, body := fetch(t, c, "GET", address, nil, "Authorization", bearer); w.StatusCode != status {
			t.Errorf("%s: %s %s", address, w.Status, body)
		}
	}
}

func TestATokenIsForItsUsersSessionAndTheAdminsForAll(t *testing.T) {
	s := start(t, Config{Users: 2})
	c := browser(t, s)
	mine := s.auth.Issue("reader1", []string{"fhircast/*.read"}, time.Hour)
	for _, row := range []struct {
		token, user string
		status      int
	}{{mine, "reader1", 200}, {mine, "reader2", 403}, {s.Info().AdminToken, "reader1", 200}, {s.Info().AdminToken, "reader2", 200}, {"guess", "reader1", 401}} {
		w, body := fetch(t, c, "GET", s.Info().HubURL+"/"+s.Topic(row.user).Reveal(), nil, "Authorization", "Bearer "+row.token)
		if w.StatusCode != row.status {
			t.Errorf("%s: %s %s", row.user, w.Status, body)
		}
	}
	if w, _ := fetch(t, c, "GET", s.Info().FHIRURL+"/ImagingStudy", nil, "Authorization", "Bearer "+s.Info().AdminToken); w.StatusCode != 200 {
		t.Error("the admin reads no records: ", w.Status)
	}
}

func TestManyUsersHaveNames(t *testing.T) {
	s := start(t, Config{Users: 6})
	if ids := s.Users(); len(ids) != 6 || ids[5] != "reader6" || s.users[5].name != "Reader 6" {
		t.Errorf("%v %+v", ids, s.users[5])
	}
}
