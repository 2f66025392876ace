package desktop

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

// The test binary is also a program that prints the way to each address: net/http reads the environment once a process.
func TestMain(m *testing.M) {
	if addresses := os.Getenv("DESKTOP_TEST_ASKS"); addresses != "" {
		p := &Proxies{system: func(target) *url.URL { return &url.URL{Scheme: "http", Host: "system:1"} }}
		for address := range strings.FieldsSeq(addresses) {
			u, err := p.For(request(address))
			fmt.Println(u, err)
		}
		return
	}
	goleak.VerifyTestMain(m)
}

func request(address string) *http.Request {
	r, err := http.NewRequest(http.MethodGet, address, nil)
	if err != nil {
		panic(err) // a test's own address
	}
	return r
}

// FM-31: the proxy of the environment, and its exceptions.
func TestWhatTheEnvironmentSaysWins(t *testing.T) {
	for _, row := range []struct {
		name  string
		env   []string
		ways  string
		loose string // not to be found in what is said
	}{
		{"nothing", nil, "http://system:1 <nil>|http://system:1 <nil>|<nil> <nil>", ""},
		{"a proxy", []string{"HTTPS_PROXY=http://env:2"}, "http://env:2 <nil>|http://env:2 <nil>|<nil> <nil>", ""},
		{"in lower case", []string{"https_proxy=env:2"}, "http://env:2 <nil>|http://env:2 <nil>|<nil> <nil>", ""},
		{"an exception", []string{"HTTPS_PROXY=http://env:2", "NO_PROXY=hub.example.org"}, "<nil> <nil>|http://env:2 <nil>|<nil> <nil>", ""},
		{"only for http", []string{"HTTP_PROXY=http://env:2"}, "<nil> <nil>|<nil> <nil>|<nil> <nil>", ""},
		{"exceptions alone", []string{"NO_PROXY=hub.example.org"}, "<nil> <nil>|http://system:1 <nil>|<nil> <nil>", ""},
		{"nothing but exceptions", []string{"no_proxy=*"}, "<nil> <nil>|<nil> <nil>|<nil> <nil>", ""},
		{"no proxy at all", []string{"HTTPS_PROXY=me:hush@[env"}, "<nil> " + errEnvironment.Error() + "|<nil> " + errEnvironment.Error() + "|<nil> <nil>", "hush"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			cmd := exec.Command(os.Args[0])
			cmd.Env = append([]string{"GORACE=atexit_sleep_ms=0", "SystemRoot=" + os.Getenv("SystemRoot"), "DESKTOP_TEST_ASKS=https://hub.example.org/s https://ehr.example.org https://127.0.0.1:4"}, row.env...)
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatal(err, string(out))
			}
			said := strings.TrimSpace(strings.ReplaceAll(string(out), "\r", ""))
			if ways := strings.ReplaceAll(said, "\n", "|"); ways != row.ways || row.loose != "" && strings.Contains(said, row.loose) {
				t.Errorf("the ways are %s", ways)
			}
		})
	}
}

func noEnvironment(string) string { return "" }

// The system hears where a request goes, and nothing that is a secret.
func TestTheSystemIsAskedOnceForAHost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked []target
		var log bytes.Buffer
		p := &Proxies{Log: slog.New(slog.NewTextHandler(&log, nil)), env: noEnvironment, system: func(to target) *url.URL {
			asked = append(asked, to)
			return &url.URL{Scheme: "http", Host: "proxy:80"}
		}}
		ask := func(address string, questions int) {
			t.Helper()
			if u, err := p.For(request(address)); err != nil || u == nil || u.Host != "proxy:80" {
				t.Error(u, err)
			}
			if len(asked) != questions {
				t.Errorf("%s: the system was asked %v", address, asked)
			}
		}
		ask("https://Hub.example.org/socket/secret", 1)
		ask("https://hub.example.org:443/topic/secret", 1)
		ask("https://hub.example.org:8443/", 2)
		time.Sleep(keepFor)
		ask("https://hub.example.org/", 3)
		p.Forget()
		ask("https://hub.example.org/", 4)
		if asked[0] != (target{"https", "hub.example.org", "443"}) || strings.Contains(log.String(), "secret") || !strings.Contains(log.String(), "proxy=proxy:80") {
			t.Error(asked, log.String())
		}
		for i := range 10 * keepAtMost {
			ask(fmt.Sprintf("https://h%d.example.org", i), 5+i)
		}
		if len(p.asked) > keepAtMost {
			t.Error("all hosts are remembered:", len(p.asked))
		}
	})
}

// A search for a script in a network that says nothing: each of many requests goes on within the limit, one question is
// on its way, and its answer is there for the next.
func TestASlowSystemHoldsNobodyForLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked, slow := 0, make(chan bool)
		p := &Proxies{env: noEnvironment, system: func(target) *url.URL {
			asked++
			<-slow
			return &url.URL{Scheme: "http", Host: "proxy:80"}
		}}
		began := time.Now()
		for range 2 {
			if u, err := p.For(request("https://hub.example.org")); u != nil || err != nil {
				t.Error(u, err)
			}
		}
		synctest.Wait()
		if waited := time.Since(began); waited != 2*askLimit || asked != 1 {
			t.Error(waited, asked)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := p.For(request("https://hub.example.org").WithContext(ctx)); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != 2*askLimit+time.Second {
			t.Error(err)
		}
		close(slow)
		if u, err := p.For(request("https://hub.example.org")); u == nil || err != nil || asked != 1 {
			t.Error(u, err, asked)
		}
	})
}

// No proxy leads to this machine, whatever the system says.
func TestThisMachineIsReachedWithoutProxy(t *testing.T) {
	p := &Proxies{env: noEnvironment, system: func(target) *url.URL { return &url.URL{Scheme: "http", Host: "proxy:80"} }}
	for _, address := range []string{"https://localhost/", "https://LOCALHOST:1/", "https://127.1.2.3/", "https://[::1]:9/", "https://[::ffff:127.0.0.1]/"} {
		if u, err := p.For(request(address)); u != nil || err != nil {
			t.Error(address, u, err)
		}
	}
	if u, _ := p.For(request("https://10.0.0.1/")); u == nil {
		t.Error("another machine is not this one")
	}
}
