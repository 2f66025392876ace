package ipc

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

// DESIGN 3.2: Host and Origin are checked, and the app_key wherever a page or a program can show it.
func TestWhoMayUseTheWebSocket(t *testing.T) {
	rule := newWebRule(17321, []string{"https://Viewer.example.org", "http://localhost:8080", "https://b.example.org:443"}, "k3y")
	for _, row := range []struct {
		name    string
		change  func(r *http.Request)
		refused int
	}{
		{"a program with the key", func(r *http.Request) {}, 0},
		{"the loopback of IPv6", func(r *http.Request) { r.Host = "[::1]:17321" }, 0},
		{"a name that leads here", func(r *http.Request) { r.Host = "evil.example.org:17321" }, 421},
		{"localhost is a name too", func(r *http.Request) { r.Host = "localhost:17321" }, 421},
		{"another address of this machine", func(r *http.Request) { r.Host = "192.0.2.1:17321" }, 421},
		{"every address", func(r *http.Request) { r.Host = "0.0.0.0:17321" }, 421},
		{"another port", func(r *http.Request) { r.Host = "127.0.0.1:17322" }, 421},
		{"no port", func(r *http.Request) { r.Host = "127.0.0.1" }, 421},
		{"no host", func(r *http.Request) { r.Host = "" }, 421},

		{"a listed page", func(r *http.Request) { r.Header.Set("Origin", "https://viewer.example.org") }, 0},
		{"a listed page with a port", func(r *http.Request) { r.Header.Set("Origin", "http://localhost:8080") }, 0},
		{"listed with the port that goes without saying", func(r *http.Request) { r.Header.Set("Origin", "https://b.example.org") }, 0},
		{"a foreign page", func(r *http.Request) { r.Header.Set("Origin", "https://evil.example.org") }, 403},
		{"a page in a listed domain", func(r *http.Request) { r.Header.Set("Origin", "https://x.viewer.example.org") }, 403},
		{"a page that begins as a listed one", func(r *http.Request) { r.Header.Set("Origin", "https://viewer.example.org.evil.org") }, 403},
		{"the listed page without TLS", func(r *http.Request) { r.Header.Set("Origin", "http://viewer.example.org") }, 403},
		{"the listed page at another port", func(r *http.Request) { r.Header.Set("Origin", "https://viewer.example.org:8443") }, 403},
		{"a page without an origin of its own", func(r *http.Request) { r.Header.Set("Origin", "null") }, 403},
		{"an empty origin", func(r *http.Request) { r.Header.Set("Origin", "") }, 403},
		{"one of two origins", func(r *http.Request) {
			r.Header["Origin"] = []string{"https://viewer.example.org", "https://evil.example.org"}
		}, 403},
		{"a foreign page with the key", func(r *http.Request) { r.Header.Set("Origin", "https://evil.example.org") }, 403},

		{"another path", func(r *http.Request) { r.URL.Path = "/" }, 404},
		{"no WebSocket", func(r *http.Request) { r.Header.Del("Upgrade") }, 426},

		{"the key of a page", func(r *http.Request) {
			r.Header.Del("Authorization")
			r.Header.Set("Sec-Websocket-Protocol", "castray.v1, castray.key.k3y")
		}, 0},
		{"the key of a page first", func(r *http.Request) {
			r.Header.Del("Authorization")
			r.Header.Set("Sec-Websocket-Protocol", "castray.key.k3y,castray.v1")
		}, 0},
		{"a page that a browser would hang up for", func(r *http.Request) { r.Header.Set("Sec-Websocket-Protocol", "castray.key.k3y") }, 400},
		{"another version", func(r *http.Request) { r.Header.Set("Sec-Websocket-Protocol", "castray.v2") }, 400},
		{"a program with castray.v1 and the header", func(r *http.Request) { r.Header.Set("Sec-Websocket-Protocol", "castray.v1") }, 0},
		{"bearer in lower case", func(r *http.Request) { r.Header.Set("Authorization", "bearer k3y") }, 0},
		{"no key", func(r *http.Request) { r.Header.Del("Authorization") }, 401},
		{"an empty key", func(r *http.Request) { r.Header.Set("Authorization", "Bearer ") }, 401},
		{"another key", func(r *http.Request) { r.Header.Set("Authorization", "Bearer k3z") }, 401},
		{"the beginning of the key", func(r *http.Request) { r.Header.Set("Authorization", "Bearer k3") }, 401},
		{"more than the key", func(r *http.Request) { r.Header.Set("Authorization", "Bearer k3yk3y") }, 401},
		{"the key as a password", func(r *http.Request) { r.SetBasicAuth("k3y", "k3y") }, 401},
		{"the key in the address", func(r *http.Request) { r.Header.Del("Authorization"); r.URL.RawQuery = "app_key=k3y" }, 401},
		{"a wrong subprotocol and no header", func(r *http.Request) {
			r.Header.Del("Authorization")
			r.Header.Set("Sec-Websocket-Protocol", "castray.v1, castray.key.")
		}, 401},
	} {
		r := httptest.NewRequest(http.MethodGet, "http://127.0.0.1:17321/v1", nil)
		r.Header.Set("Connection", "Upgrade")
		r.Header.Set("Upgrade", "websocket")
		r.Header.Set("Authorization", "Bearer k3y")
		row.change(r)
		got := 0
		if no := rule.judge(r); no != nil {
			got = no.status
		}
		if got != row.refused {
			t.Errorf("%s: %d, want %d", row.name, got, row.refused)
		}
	}
}

func TestAddressesOfAWebSocket(t *testing.T) {
	for address, want := range map[string]int{
		"ws://127.0.0.1:17321/v1":    17321,
		"ws://[::1]:1/v1":            1,
		"ws://127.0.0.1/v1":          0,
		"ws://127.0.0.1:0/v1":        0,
		"ws://127.0.0.1:17321/":      0,
		"ws://127.0.0.1:17321/v1?k":  0,
		"ws://u@127.0.0.1:17321/v1":  0,
		"ws://localhost:17321/v1":    0,
		"ws://192.0.2.1:17321/v1":    0,
		"ws://hub.example.org/v1":    0,
		"wss://127.0.0.1:17321/v1":   0,
		"ws://127.0.0.1:99999/v1":    0,
		"ws://127.0.0.1:17321/v1#x":  0,
		"ws://127.0.0.1.evil.org/v1": 0,
	} {
		if port, err := webPort(address); port != want || (err == nil) != (want != 0) {
			t.Errorf("%s: %d, %v", address, port, err)
		}
	}
}
