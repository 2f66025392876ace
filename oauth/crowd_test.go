package oauth_test

import (
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/castray/castray/oauth"
	"github.com/castray/castray/oauth/oauthtest"
)

// FM-11: fifty requests at once, with a token that has expired or that the hub takes no more, lead to one refresh, and
// none of them is lost.
func TestFiftyRequestsShareOneRefresh(t *testing.T) {
	for name, spoil := range map[string]func(w *world){
		"expired": func(*world) { time.Sleep(2 * time.Hour) },
		"taken no more": func(w *world) {
			var old atomic.Value
			w.hub.check = func(token string) bool { // the first that it sees is the old one
				old.CompareAndSwap(nil, token)
				_, ok := w.as.Check(token)
				return ok && token != old.Load()
			}
		},
	} {
		bubble(t, honest, func(t *testing.T, w *world, s *oauth.Session) {
			c := s.Client()
			spoil(w)
			w.as.Misbehave(oauthtest.Faults{Slow: time.Second}) // so that all of them wait for it
			before := w.as.Count("/auth/token")
			var taken atomic.Int32
			var all sync.WaitGroup
			for range 50 {
				all.Go(func() {
					resp, err := c.Post(w.ts.URL+"/hub/", "text/plain", strings.NewReader("event"))
					if err != nil {
						t.Errorf("%s: %v", name, err)
						return
					}
					resp.Body.Close()
					if resp.StatusCode == http.StatusOK {
						taken.Add(1)
					}
				})
			}
			all.Wait()
			if n := w.as.Count("/auth/token") - before; n != 1 || taken.Load() != 50 {
				t.Errorf("%s: %d refreshed, %d of 50 taken", name, n, taken.Load())
			}
		})
	}
}
