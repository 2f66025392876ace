//go:build linux

package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/castray/castray/bridge/hub/hubtest"
	"github.com/castray/castray/ipc"
	"github.com/castray/castray/ipc/client"
)

// A soakWorld is a hub and an agent, each a process that can be killed, and apps of the Go client library.
type soakWorld struct {
	*testing.T
	dir, pem       string
	hubAddress     string
	address        string // of the agent
	topics         int
	hub, agent     *soakProcess
	apps           []*soakApp
	watch          *soakWatch
	stop           context.CancelFunc
	running, looks sync.WaitGroup
}

// newSoakWorld starts the hub with so many topics.
func newSoakWorld(t *testing.T, topics int) *soakWorld {
	dir := t.TempDir()
	w := &soakWorld{T: t, dir: dir, pem: filepath.Join(dir, "hub.pem"), address: filepath.Join(dir, "s"), topics: topics, watch: &soakWatch{}}
	writeSoakCertificate(t, w.pem)
	ln, err := net.Listen("tcp", "127.0.0.1:0") // an address that is free, and the hub's in each of its lives
	benchCheck(t, err)
	w.hubAddress = ln.Addr().String()
	benchCheck(t, ln.Close())
	t.Cleanup(w.end)
	w.startHub("")
	return w
}

// end stops everything there is, the apps first.
func (w *soakWorld) end() {
	if w.stop != nil {
		w.stop()
	}
	w.running.Wait()
	w.looks.Wait()
	for _, p := range []*soakProcess{w.agent, w.hub} {
		if p != nil {
			p.kill()
		}
	}
}

func writeSoakCertificate(t *testing.T, file string) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	benchCheck(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	benchCheck(t, err)
	private, err := x509.MarshalECPrivateKey(key)
	benchCheck(t, err)
	text := append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: private})...)
	benchCheck(t, os.WriteFile(file, text, 0o600))
}

// startHub starts a hub that knows its topics, with that patient open or none, and without subscriptions.
func (w *soakWorld) startHub(patient string) {
	w.Helper()
	w.hub = w.start("soakhub", w.hubAddress, w.pem, fmt.Sprint(w.topics), patient)
	w.hub.line() // ready
	w.watch.set(patient)
}

// killHub leaves nothing of the hub. From now on nobody may believe to be in step.
func (w *soakWorld) killHub() {
	w.watch.set(nobody)
	w.hub.kill()
}

// order has the hub do something; what is current afterwards is what the apps have to show.
func (w *soakWorld) order(o soakOrder) soakState {
	w.Helper()
	line, err := json.Marshal(o)
	benchCheck(w, err)
	if _, err := w.hub.in.Write(append(line, '\n')); err != nil {
		w.Fatalf("the hub is not there to %s: %v; it says:\n%s", o.Do, err, w.hub.log)
	}
	var s soakState
	benchCheck(w, json.Unmarshal(w.hub.line(), &s))
	if s.Error != "" {
		w.Fatalf("the hub cannot %s: %s", o.Do, s.Error)
	}
	w.watch.set(s.Current)
	return s
}

// startAgent starts the agent and does not wait for it.
func (w *soakWorld) startAgent() {
	w.Helper()
	file, token := filepath.Join(w.dir, "castray.toml"), filepath.Join(w.dir, "token")
	benchCheck(w, os.WriteFile(token, []byte(hubtest.Token+"\n"), 0o600))
	benchCheck(w, os.WriteFile(file, fmt.Appendf(nil, "[hub]\nurl = %q\ntopic = %q\ntoken_file = %q\nca_file = %q\nname = \"Soak\"\ntest = true\n"+
		"events = [\"Patient-open\", \"Patient-close\", \"Home-open\", \"DiagnosticReport-open\", %q]\n",
		"https://"+w.hubAddress+"/hub", soakTopic(0).Reveal(), token, w.pem, soakUpdate), 0o600))
	w.agent = w.start("soakagent", "run", "--no-tray", "--config", file, "--socket", w.address)
}

// attach lets apps join that answer, and looks at them from now on.
func (w *soakWorld) attach(apps int) {
	ctx, stop := context.WithCancel(w.Context())
	w.stop = stop
	for n := range apps {
		w.apps = append(w.apps, newSoakApp(w, fmt.Sprintf("viewer-%d", n)))
	}
	for _, a := range w.apps {
		w.running.Go(func() { a.run(ctx) })
	}
	w.looks.Go(func() { w.watch.look(ctx, w.apps) })
}

// whole waits until the hub has its subscription and its current patient is at each of these apps and the app is told
// that this is so, and tells how long that took.
func (w *soakWorld) whole(within time.Duration, apps ...*soakApp) time.Duration {
	w.Helper()
	began := time.Now()
	for {
		state := w.order(soakOrder{Do: "state"})
		current, wrong := state.Current, ""
		if state.Subscribers != 1 {
			wrong = fmt.Sprintf("\nthere are %d subscriptions", state.Subscribers)
		}
		for _, a := range apps {
			if shows, well := a.believes(); !well || shows != current {
				wrong += fmt.Sprintf("\n%s shows %q, well: %v", a.name, shows, well)
			}
		}
		took := time.Since(began)
		if wrong == "" {
			return took
		}
		if took > within {
			w.Fatalf("after %v the hub has %q and%s\nthe agent says:\n%s", took, current, wrong, w.agent.log)
		}
		soakPause(10 * time.Millisecond)
	}
}

// resync is what the user does who does not want to wait for the next try.
func (w *soakWorld) resync() {
	w.Helper()
	ctx, cancel := context.WithTimeout(w.Context(), 10*time.Second)
	defer cancel()
	keys, err := ipc.ReadKeys(w.address)
	benchCheck(w, err)
	c, err := client.Dial(ctx, client.Options{Address: w.address, Name: "soak", Events: []string{}, Key: keys.Key})
	benchCheck(w, err)
	defer hangUp(c)
	benchCheck(w, c.Call(ctx, "resync", nil, nil))
}

// goroutines is how many the agent has.
func (w *soakWorld) goroutines() int {
	_, err := fmt.Fprintln(w.agent.in)
	benchCheck(w, err)
	return int(benchNumber(strings.TrimSpace(string(w.agent.line()))))
}

func soakPause(d time.Duration) { <-time.After(d) }

// A soakProcess is a command of the test binary.
type soakProcess struct {
	*exec.Cmd
	t   *testing.T
	in  io.WriteCloser
	out *bufio.Reader
	log *soakLog
}

func (w *soakWorld) start(name string, args ...string) *soakProcess {
	w.Helper()
	p := &soakProcess{Cmd: exec.Command(name, args...), t: w.T, log: &soakLog{}}
	p.Stderr = p.log
	p.Env = append(os.Environ(), "HOME="+w.dir, "XDG_CONFIG_HOME="+w.dir, "XDG_STATE_HOME="+w.dir, "XDG_RUNTIME_DIR="+w.dir, "GORACE=atexit_sleep_ms=0")
	in, err := p.StdinPipe()
	benchCheck(w, err)
	out, err := p.StdoutPipe()
	benchCheck(w, err)
	p.in, p.out = in, bufio.NewReader(out)
	benchCheck(w, p.Start())
	return p
}

// kill is kill -9, and waits until the process is gone.
func (p *soakProcess) kill() {
	if p.ProcessState == nil {
		_ = p.Process.Kill()
		_ = p.Wait()
	}
	if strings.Contains(p.log.String(), "DATA RACE") {
		p.t.Errorf("%s has a race:\n%s", p.Path, p.log)
	}
}

func (p *soakProcess) line() []byte {
	p.t.Helper()
	line, err := p.out.ReadBytes('\n')
	if err != nil {
		p.t.Fatalf("%s: %v; it says:\n%s", p.Path, err, p.log)
	}
	return line
}

// descriptors is how many the process has open.
func (p *soakProcess) descriptors() int { return descriptorsOf(p.t, fmt.Sprint(p.Process.Pid)) }

// resident is the process's memory in bytes, peak the most that it ever had, own the part that is not a file's.
func (p *soakProcess) resident() int64 { return memoryOf(p.t, fmt.Sprint(p.Process.Pid), "VmRSS:") }
func (p *soakProcess) peak() int64     { return memoryOf(p.t, fmt.Sprint(p.Process.Pid), "VmHWM:") }
func (p *soakProcess) own() int64      { return memoryOf(p.t, fmt.Sprint(p.Process.Pid), "RssAnon:") }

// work is how long the process has used a processor.
func (p *soakProcess) work() time.Duration {
	p.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.Process.Pid))
	benchCheck(p.t, err)
	_, rest, _ := strings.Cut(string(text), ") ") // after the name; from here on user and system time are the 12th and 13th
	f := strings.Fields(rest)
	return time.Duration(benchNumber(f[11])+benchNumber(f[12])) * 10 * time.Millisecond
}

func descriptorsOf(t *testing.T, pid string) int {
	t.Helper()
	list, err := os.ReadDir("/proc/" + pid + "/fd")
	benchCheck(t, err)
	return len(list)
}

func memoryOf(t *testing.T, pid, kind string) int64 {
	t.Helper()
	text, err := os.ReadFile("/proc/" + pid + "/status")
	benchCheck(t, err)
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); f[0] == kind {
			return benchNumber(f[1]) << 10
		}
	}
	t.Fatal("no " + kind)
	return 0
}

// A soakLog keeps the last lines that a process wrote.
type soakLog struct {
	mu   sync.Mutex
	text []byte
}

const soakLogKept = 64 << 10

func (l *soakLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text = append(l.text, p...)
	if len(l.text) > 2*soakLogKept {
		l.text = bytes.Clone(l.text[len(l.text)-soakLogKept:])
	}
	return len(p), nil
}

func (l *soakLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.text)
}
