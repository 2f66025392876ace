package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/castray/castray/agent"
	"github.com/castray/castray/agent/sandbox"
	"github.com/castray/castray/agent/tray"
	"github.com/castray/castray/ipc"
	"github.com/castray/castray/ipc/client"
	"github.com/castray/castray/ipc/protocol"
)

// A patient whom nobody else is called like.
var canary = []string{"Zwitscherkanari", "Xaverine-Canary", "CANARY-MRN-0815", "1911-11-11", "CANARY-ACC-4711", "2.999.815.4711"}

const canaryContext = `[{"key":"patient","resource":{"resourceType":"Patient","id":"canary-p","birthDate":"1911-11-11",
 "name":[{"family":"Zwitscherkanari","given":["Xaverine-Canary"]}],"identifier":[{"system":"urn:oid:2.999.815.4711","value":"CANARY-MRN-0815"}]}}]`

// canaryLaunch is the launch context of each sign-in, some of it mistyped, which is warned of.
var canaryLaunch = map[string]any{"patient": "CANARY-MRN-0815", "encounter": []string{"CANARY-ACC-4711"}, "tenant": "Zwitscherkanari",
	"need_patient_banner": "Xaverine-Canary", "imagingstudy": "2.999.815.4711", "__birthdate": "1911-11-11",
	"fhirContext": []any{"ImagingStudy/CANARY-ACC-4711", map[string]any{"reference": "Patient/CANARY-MRN-0815"}}}

// canaryRefused is refused: it is no patient with an id.
const canaryRefused = `[{"key":"patient","resource":{"resourceType":"Patient","name":[{"family":"Zwitscherkanari"}],
 "identifier":[{"value":"CANARY-ACC-4711"}]}}]`

// An aviary gathers what a run of Castray lets out, and what may not be in it.
type aviary struct {
	*testing.T
	dir     string
	box     *sandbox.Sandbox
	store   *glass
	environ []string
	address string

	mu      sync.Mutex
	secrets []string
	tray    bytes.Buffer // every menu and tooltip
	said    *output      // the log of the agent and the sandbox
}

func newAviary(t *testing.T) *aviary { return newAviaryWith(t, sandbox.Config{AutoApprove: true}) }

// newAviaryWith has a hospital like that.
func newAviaryWith(t *testing.T, like sandbox.Config) *aviary {
	dir := tempFolder(t)
	v := &aviary{T: t, dir: dir, address: demoAddress(runtime.GOOS, dir), said: newOutput(), environ: []string{"CASTRAY_LOG_LEVEL=debug", "CASTRAY_LOCAL_WEBSOCKET=true"}}
	v.environ = append(v.environ, "CASTRAY_SOCKET="+v.address)
	for _, name := range []string{"XDG_CONFIG_HOME", "XDG_STATE_HOME", "APPDATA", "LOCALAPPDATA", "ProgramData", "HOME"} {
		v.environ = append(v.environ, name+"="+filepath.Join(dir, "home"))
	}
	v.store = &glass{aviary: v}
	var err error
	like.Dir, like.Launch = filepath.Join(dir, "sb"), canaryLaunch
	v.box, err = sandbox.New(t.Context(), like)
	if err != nil {
		t.Fatal(err)
	}
	var hospital life
	hospital.live(t.Context(), v.box.Run)
	t.Cleanup(func() {
		if err := hospital.end(); err != nil {
			t.Error(err)
		}
	})
	v.hide(v.box.Info().Topic, v.box.Info().AdminToken, v.box.Info().ClientSecret,
		base64.StdEncoding.EncodeToString([]byte("castray:"+v.box.Info().ClientSecret)))
	return v
}

func (v *aviary) hide(secrets ...string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.secrets = append(v.secrets, secrets...)
}

// tool is castray with a keychain and a browser that the aviary looks into.
func (v *aviary) tool(stdin string) (t *tool, out *output) {
	out = newOutput()
	return &tool{stdin: strings.NewReader(stdin), stdout: out, stderr: out, environ: v.environ, machine: func(c *agent.Config) {
		c.Store = v.store
		c.OpenURL = func(ctx context.Context, page string) error {
			v.hidePage(page)
			last, err := browseTo(ctx, v.box.Info().CAFile, page)
			v.said.Write([]byte(last)) // what it says and holds is searched as the log is
			return err
		}
		c.Changed = func(s protocol.Status, signingIn bool) {
			v.mu.Lock()
			defer v.mu.Unlock()
			fmt.Fprintln(&v.tray, tray.Tooltip(s), tray.Menu(tray.View{Status: s, SigningIn: signingIn}, time.Now()))
		}
	}}, out
}

// starts runs castray run, with what is given besides, until it is told to end.
func (v *aviary) starts(more ...string) *life {
	tool, _ := v.tool("")
	tool.stdout, tool.stderr = v.said, v.said
	running := new(life)
	running.live(v.Context(), func(ctx context.Context) error {
		args := append([]string{"--config", v.box.Info().ConfigFile, "run", "--no-tray"}, more...)
		if code := tool.run(ctx, args); code != exitDone {
			return fmt.Errorf("exit code %d", code)
		}
		return nil
	})
	return running
}

// hidePage keeps what opens the door while a sign-in waits.
func (v *aviary) hidePage(page string) {
	for _, m := range regexp.MustCompile(`(?:state|nonce|code_challenge)=([^&]+)`).FindAllStringSubmatch(page, -1) {
		v.hide(m[1])
	}
}

// run runs a command of ours, whose output may hold nothing of the patient.
func (v *aviary) run(stdin string, want int, args ...string) {
	v.Helper()
	tool, out := v.tool(stdin)
	if code := tool.run(v.Context(), args); code != want {
		v.Fatalf("%v ended with %d: %s", args, code, out)
	}
	v.search(strings.Join(args, " "), out.String())
}

// runsAgent runs castray run in this process, until it is asked to quit.
func (v *aviary) runsAgent() (*life, protocol.Keys) {
	v.Helper()
	running := v.starts()
	v.said.waits(v.T, "msg=ready")
	keys, err := ipc.ReadKeys(v.address)
	if err != nil {
		v.Fatal(err)
	}
	return running, keys
}

// Random words as tokens, topics and keys are. Ids of events, which are no secret, have dashes in other places.
var (
	eventID = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`)
	random  = regexp.MustCompile(`[A-Z2-7]{26}|[A-Za-z0-9_-]{43}|[0-9a-f]{32}`)
)

// search looks for the patient and for anything that opens a door.
func (v *aviary) search(where, text string) {
	v.Helper()
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, word := range slices.Concat(canary, v.secrets) {
		if word != "" && strings.Contains(text, word) {
			v.Errorf("%s holds %q", where, word)
		}
	}
	if word := random.FindString(eventID.ReplaceAllString(text, "")); word != "" {
		v.Errorf("%s holds %q", where, word)
	}
}

// publicKeys has a key made, whose public half is a random word as secrets are.
func (v *aviary) publicKeys(config string) {
	v.Helper()
	tool, out := v.tool("")
	if code := tool.run(v.Context(), []string{"--config", config, "config", "jwks", "--json"}); code != exitDone {
		v.Fatalf("config jwks ended with %d: %s", code, out)
	}
	v.search("config jwks", regexp.MustCompile(`"(kid|x|y)":"[\w-]*"`).ReplaceAllString(out.String(), ""))
	if !strings.Contains(out.String(), `"kty":"EC"`) {
		v.Errorf("no key: %s", out)
	}
}

// searchFolder searches every file that Castray has written; the sandbox's own, and the keys in castray.json, are meant
// to be there.
func (v *aviary) searchFolder() {
	v.Helper()
	err := filepath.WalkDir(v.dir, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && d.Name() == "sb":
			return fs.SkipDir
		case !d.Type().IsRegular():
			return nil
		}
		text, err := os.ReadFile(path)
		if d.Name() == "castray.json" {
			text = regexp.MustCompile(`"(key|app_key)":"[0-9a-f]*"`).ReplaceAll(text, nil)
		}
		v.search(path, string(text))
		return err
	})
	if err != nil {
		v.Error(err)
	}
}

// A glass is a keychain that one can look into. It is an oauth.Store.
type glass struct {
	aviary *aviary
	mu     sync.Mutex
	values map[string][]byte
}

func (g *glass) Save(_ context.Context, key string, value []byte) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.values == nil {
		g.values = make(map[string][]byte)
	}
	g.values[key] = bytes.Clone(value)
	var saved map[string]any
	if json.Unmarshal(value, &saved) == nil {
		for _, name := range []string{"refresh_token", "hub.topic", "d"} { // of a sign-in, and the private half of a key
			word, _ := saved[name].(string)
			g.aviary.hide(word)
		}
	}
	return nil
}

func (g *glass) Load(_ context.Context, key string) ([]byte, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if value, ok := g.values[key]; ok {
		return value, nil
	}
	return nil, fs.ErrNotExist
}

func (g *glass) Delete(_ context.Context, key string) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.values, key)
	return nil
}

// rude is an app that answers hello's context with rubbish that names the patient, half a line of it, and hangs up.
func (v *aviary) rude(event func(id json.RawMessage) string) {
	v.Helper()
	pipe, err := dialRaw(v.address)
	if err != nil {
		v.Fatal(err)
	}
	defer pipe.Close()
	fmt.Fprintln(pipe, `{"jsonrpc":"2.0","id":1,"method":"hello","params":{"protocol":1,"name":"rude","answers":true}}`)
	for lines := bufio.NewScanner(pipe); lines.Scan(); {
		var m struct {
			ID     json.RawMessage
			Method string
		}
		if json.Unmarshal(lines.Bytes(), &m) == nil && m.Method == "event" {
			fmt.Fprint(pipe, event(m.ID))
			return
		}
	}
	v.Error("the rude app was told nothing")
}

// knocks is a page that is refused at the WebSocket, whatever it says of the patient and the key.
func (v *aviary) knocks(keys protocol.Keys) {
	v.Helper()
	at := fmt.Sprintf("http://127.0.0.1:%d/", keys.Port)
	r, err := http.NewRequestWithContext(v.Context(), http.MethodGet, at+"v1?patient=Zwitscherkanari&key="+keys.AppKey, nil)
	if err != nil {
		v.Fatal(err)
	}
	r.Header.Set("Origin", "https://zwitscherkanari.example.org/CANARY-MRN-0815")
	r.Header.Set("Authorization", "Bearer "+keys.AppKey)
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		v.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusForbidden {
		v.Errorf("%s, %v", answer.Status, err)
	}
	v.search("the answer to a page", fmt.Sprint(string(body), answer.Header))
}

// FC-SEC-05: what passes through is a patient, and nothing that is kept, shown or said has a trace of one.
func TestS11_CanaryIsInNoOutput(t *testing.T) {
	v := newAviaryWith(t, sandbox.Config{AutoApprove: true, Secret: true})
	running, keys := v.runsAgent()
	v.hide(keys.Key, keys.AppKey)

	// A secret that is missing, wrong, and right; and a key, of which only what a server may know comes out.
	config := v.box.Info().ConfigFile
	v.hide("canary-wrong-secret")
	v.run("", exitFailed, "login")
	v.run("canary-wrong-secret\n", exitDone, "--config", config, "config", "secret", "--stdin")
	v.run("", exitFailed, "login")
	v.run(v.box.Info().ClientSecret+"\n", exitDone, "--config", config, "config", "secret", "--stdin")
	v.run("", exitDone, "--config", config, "config", "show", "--origin")
	v.run("", exitDone, "--config", config, "config", "validate")
	v.publicKeys(config)

	// Sign-in, delivery and an app that refuses with the patient's name as the reason.
	v.run("", exitDone, "login")
	v.said.waits(t, "is=no_context")
	seen := make(chan string, 8)
	app, err := client.Dial(t.Context(), client.Options{Address: v.address, Name: "viewer", Answers: true,
		Event: func(_ context.Context, e *client.Event) protocol.EventAnswer {
			seen <- string(e.Event.Event)
			return protocol.EventAnswer{Status: 409, Reason: "Zwitscherkanari is being dictated"}
		},
		Clear: func(context.Context, protocol.Reason) protocol.EventAnswer {
			return protocol.EventAnswer{Status: 500, Reason: "Zwitscherkanari cannot be closed"}
		}})
	if err != nil {
		t.Fatal(err)
	}
	v.knocks(keys)
	page, err := client.Dial(t.Context(), client.Options{Address: fmt.Sprintf("ws://127.0.0.1:%d/v1", keys.Port), AppKey: keys.AppKey, Name: "page",
		Event: func(_ context.Context, e *client.Event) protocol.EventAnswer {
			seen <- string(e.Event.Event)
			return protocol.EventAnswer{}
		}})
	if err != nil {
		t.Fatal(err)
	}
	v.run(canaryContext, exitDone, "send", "Patient-open", "--file", "-")
	for range 2 {
		if event := <-seen; !strings.Contains(event, canary[0]) { // so that there is something to be found
			t.Fatal(event)
		}
	}
	page.Close()
	_ = page.Wait()

	// Requests that are refused: by their shape, by configuration, by their scope, and said wrong.
	v.run(canaryRefused, exitUsage, "send", "Patient-open", "--file", "-")
	v.run(canaryContext, exitRefused, "send", "DiagnosticReport-open", "--file", "-")
	v.run(canaryContext[1:], exitUsage, "send", "Patient-open", "--file", "-")
	v.run("", exitUsage, "send", "Patient-open", "--patient", "Zwitscherkanari")

	// Apps that say rubbish: to an event, and as a line.
	v.rude(func(id json.RawMessage) string {
		return fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"error":{"code":-1,"message":"Zwitscherkanari"}}`+"\n", id)
	})
	v.rude(func(id json.RawMessage) string { return fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"result":"Zwitsch`, id) })
	v.rude(func(json.RawMessage) string { return "Zwitscherkanari {\n" })
	for _, params := range []string{`{"event":"Zwitscherkanari","context":"CANARY-MRN-0815"}`, `{"event":7}`, `["CANARY-MRN-0815"]`} {
		if err := app.Call(t.Context(), protocol.MethodSend, json.RawMessage(params), nil); err == nil {
			t.Error("rubbish was accepted")
		} else {
			v.search("the error of send", err.Error())
		}
	}

	// What a script, a script without the key, and the tray are shown.
	v.run("", exitDone, "status", "--json")
	v.run("", exitDone, "status")
	v.run("", exitDone, "apps", "--json")
	v.run("", exitDone, "pause")
	v.run("", exitDone, "resume", "--json")
	v.run("", exitDone, "clear")
	v.run("", exitDone, "resync")
	v.run("", exitDone, "lock")
	v.run("", exitDone, "resume")
	v.run("", exitDone, "user-switch", "--json")
	v.run("", exitDone, "logout")
	v.run("", exitDone, "login")
	app.Close()
	_ = app.Wait()
	v.run("", exitDone, "quit")
	if err := running.end(); err != nil {
		t.Error(err)
	}
	v.run("", exitNoAgent, "status")

	v.search("the log and the browser's last page", v.said.String())
	v.search("the tray", v.tray.String())
	v.searchFolder()
	if !strings.Contains(v.said.String(), "launch context has members that cannot be used") || !strings.Contains(v.said.String(), "You are signed in") {
		t.Error("the sign-in left no words")
	}
	if !strings.Contains(v.said.String(), "level=DEBUG") && !strings.Contains(v.said.String(), "level=INFO") || !strings.Contains(v.tray.String(), "viewer") ||
		!strings.Contains(v.tray.String(), "secret of this installation is missing") || !strings.Contains(v.tray.String(), "does not take the secret") {
		t.Error("nothing was searched")
	}
}

// An agent that is killed in the middle has no time to hide anything.
func TestS11_CanaryIsNotLeftBehindByAKilledAgent(t *testing.T) {
	v := newAviary(t)
	file, err := v.box.WriteStaticConfig()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("castray", "--config", file, "run", "--no-tray")
	cmd.Env = append(append(os.Environ(), v.environ...), "GOTRACEBACK=all")
	cmd.Stdout, cmd.Stderr = v.said, v.said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	killed := false
	kill := func() {
		if !killed {
			killed = true
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
	}
	defer kill()
	v.said.waits(t, "msg=ready")
	v.said.waits(t, "is=no_context")
	seen := make(chan string, 8)
	app, err := client.Dial(t.Context(), client.Options{Address: v.address, Name: "viewer", Answers: true,
		Event: func(_ context.Context, e *client.Event) protocol.EventAnswer {
			seen <- string(e.Event.Event)
			return protocol.EventAnswer{} // and never an answer
		}})
	if err != nil {
		t.Fatal(err)
	}
	v.run(canaryContext, exitDone, "send", "Patient-open", "--file", "-")
	if event := <-seen; !strings.Contains(event, canary[0]) {
		t.Fatal(event)
	}
	kill()
	if err := app.Wait(); err != nil {
		v.search("the error of the app", err.Error())
	}
	v.run("", exitNoAgent, "status")
	v.search("the log", v.said.String())
	v.searchFolder()
}
