package agent

import (
	"context"
	"crypto/x509"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/castray/castray/agent/config"
)

// FM-02, FM-08: a request that hangs on a dead connection holds up no other one, neither while it waits nor when it was given
// up.
func TestARequestThatHangsHoldsUpNoOther(t *testing.T) {
	came := make(chan *http.Request, 3)
	hang := make(chan struct{})
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		came <- r
		if r.URL.Path == "/hangs" {
			<-hang
		}
	}))
	server.EnableHTTP2 = true // as hubs do
	server.StartTLS()
	defer server.Close()
	defer close(hang)
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	a := New(Config{Settings: &config.Config{}})
	client := &http.Client{Transport: a.transport(roots), Timeout: 10 * time.Second}
	defer client.CloseIdleConnections()
	get := func(ctx context.Context, path string) error {
		req, err := http.NewRequestWithContext(ctx, "GET", server.URL+path, nil)
		if err != nil {
			t.Error(err)
			return err
		}
		resp, err := client.Do(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		_, err = io.Copy(io.Discard, resp.Body)
		return err
	}
	ctx, giveUp := context.WithCancel(t.Context())
	gaveUp := make(chan error, 1)
	go func() { gaveUp <- get(ctx, "/hangs") }()
	first := <-came
	if err := get(t.Context(), "/"); err != nil {
		t.Error(err)
	}
	second := <-came
	giveUp()
	if err := <-gaveUp; err == nil {
		t.Error("it did not hang")
	}
	if err := get(t.Context(), "/"); err != nil {
		t.Error(err)
	}
	if third := <-came; second.RemoteAddr == first.RemoteAddr || third.RemoteAddr == first.RemoteAddr {
		t.Errorf("asked from %s, %s and %s", first.RemoteAddr, second.RemoteAddr, third.RemoteAddr)
	}
}
