//go:build desktop

package desktop

import (
	"encoding/binary"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/windows/registry"
)

const connections = `Software\Microsoft\Windows\CurrentVersion\Internet Settings\Connections`

// set writes the user's settings where Windows keeps them, for the test.
func set(t *testing.T, s settings) {
	t.Helper()
	flags := uint32(1) // direct
	if s.proxy != "" {
		flags |= 2
	}
	if s.script != "" {
		flags |= 4
	}
	if s.detect {
		flags |= 8
	}
	blob := binary.LittleEndian.AppendUint32(nil, 0x46)
	blob = binary.LittleEndian.AppendUint32(blob, 1)
	blob = binary.LittleEndian.AppendUint32(blob, flags)
	for _, text := range []string{s.proxy, s.bypass, s.script} {
		blob = binary.LittleEndian.AppendUint32(blob, uint32(len(text)))
		blob = append(blob, text...)
	}
	blob = append(blob, make([]byte, 32)...)
	key, _, err := registry.CreateKey(registry.CURRENT_USER, connections, registry.QUERY_VALUE|registry.SET_VALUE)
	if err != nil {
		t.Fatal(err)
	}
	before, _, missing := key.GetBinaryValue("DefaultConnectionSettings")
	t.Cleanup(func() {
		if missing != nil {
			err = key.DeleteValue("DefaultConnectionSettings")
		} else {
			err = key.SetBinaryValue("DefaultConnectionSettings", before)
		}
		if err != nil {
			t.Error(err)
		}
		_ = key.Close()
	})
	if err := key.SetBinaryValue("DefaultConnectionSettings", blob); err != nil {
		t.Fatal(err)
	}
}

func way(t *testing.T, address string) string {
	t.Helper()
	p := &Proxies{env: noEnvironment}
	u, err := p.For(request(address))
	switch {
	case err != nil:
		t.Fatal(err)
	case u == nil:
		return "direct"
	}
	return u.Host
}

// FM-31: the proxy of the user's settings.
func TestTheFixedProxyOfTheSettings(t *testing.T) {
	set(t, settings{proxy: "http=a.example.org:81;https=b.example.org:82", bypass: "*.inside.example.org;<local>"})
	for address, want := range map[string]string{
		"https://hub.example.com/fhircast":    "b.example.org:82",
		"http://hub.example.com/":             "a.example.org:81",
		"https://hub.inside.example.org/":     "direct",
		"https://hub/":                        "direct",
		"https://inside.example.org/":         "b.example.org:82",
		"https://hub.inside.example.org:8443": "direct",
	} {
		if got := way(t, address); got != want {
			t.Errorf("to %s by %s, not %s", address, got, want)
		}
	}
}

func TestNoProxyInTheSettings(t *testing.T) {
	set(t, settings{})
	if got := way(t, "https://hub.example.com/"); got != "direct" {
		t.Error(got)
	}
}

const script = `function FindProxyForURL(url, host) {
	if (url.indexOf("secret") >= 0) return "PROXY told.example.org:1";
	if (host == "hub.example.com") return "PROXY script.example.org:3128; DIRECT";
	return "DIRECT";
}`

// FM-31: the script of the user's settings, which also never hears of a path.
func TestTheScriptOfTheSettings(t *testing.T) {
	var fetched atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fetched.Add(1)
		w.Header().Set("Content-Type", "application/x-ns-proxy-autoconfig")
		_, _ = w.Write([]byte(script))
	}))
	defer server.Close()
	set(t, settings{script: server.URL + "/proxy.pac", proxy: "fixed.example.org:80"})
	// Wine takes ten seconds to start its first script, longer than a request waits: the answer is there for a later one.
	p := &Proxies{env: noEnvironment}
	var got *url.URL
	for range 8 {
		var err error
		if got, err = p.For(request("https://hub.example.com/secret")); got != nil || err != nil {
			break
		}
	}
	if got == nil || got.Host != "script.example.org:3128" || fetched.Load() == 0 {
		t.Errorf("by %v; the script was fetched %d times", got, fetched.Load())
	}
	if got := way(t, "https://other.example.com/"); got != "direct" {
		t.Error(got)
	}
}

// A script that cannot be fetched: as in a browser, the fixed proxy takes its place.
func TestTheFixedProxyWhereTheScriptCannotBeFetched(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gone := url.URL{Scheme: "http", Host: listener.Addr().String(), Path: "/proxy.pac"}
	_ = listener.Close()
	set(t, settings{script: gone.String(), proxy: "fixed.example.org:80"})
	if got := way(t, "https://hub.example.com/"); got != "fixed.example.org:80" {
		t.Error(got)
	}
}
