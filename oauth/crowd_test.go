package oauth_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/castray/castray/oauth"
	"github.com/castray/castray/oauth/oauthtest"
)

// FM-11, SM-REF-04: fifty requests at once, with a token that has expired or that the hub takes no more, lead to one refresh, and
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
			for n := range 50 {
				all.Go(func() {
					resp, err := c.Post(w.ts.URL+"/hub/", "text/plain", strings.NewReader(fmt.Sprint("event ", n)))
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
			last := w.hub.bodies[max(0, len(w.hub.bodies)-50):] // what came with the new token, each once and whole
			slices.Sort(last)
			if different := slices.Compact(last); len(different) != 50 {
				t.Errorf("%s: the hub has %d different ones", name, len(different))
			}
		})
	}
}
