package subscriber

import (
	"context"
	"net/http"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/castray/castray/bridge/hub"
	"github.com/castray/castray/bridge/hub/hubtest"
)

// FC-WH-05 FC-WH-08: at a hub as it should be, for hours, in the dialects that know webhooks. Its word for what it got is
// in its own list of subscribers.
func TestAWebhookAtAnHonestHub(t *testing.T) {
	for _, version := range []string{"version-stu1", "version-2020", "version-stu2", "version-2.1"} {
		t.Run(version, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var mine ports
				caller := &http.Transport{DialContext: mine.dial}
				defer caller.CloseIdleConnections()
				w := &ward{T: t, ended: make(chan error, 1)}
				var err error
				if w.hub, err = hubtest.New(hub.Config{Webhooks: hub.Webhooks{Client: &http.Client{Transport: caller}}}); err != nil {
					t.Fatal(err)
				}
				w.net = hubtest.Pipe(w.hub)
				defer w.net.Close()
				defer w.hub.Close()
				if w.topic, err = w.hub.Hub().NewTopic(t.Context(), hubtest.User); err != nil {
					t.Fatal(err)
				}
				client := w.net.Client()
				defer client.CloseIdleConnections()
				client.Transport.(*http.Transport).TLSClientConfig.ServerName = "hub.example.test"
				c := w.config("Ward 7", w)
				c.HubURL, c.Channel, c.Listen, c.Quirks = "https://127.0.0.1/fc", "webhook", mine.listen, []string{version}
				c.HTTP = &http.Client{Transport: bearer{client.Transport}}
				c.TLS.ServerName = "hub.example.test"
				w.client = New(c)
				ctx, cancel := context.WithCancel(t.Context())
				go func() { w.ended <- w.client.Run(ctx) }()
				synctest.Wait()
				w.publish("p1")
				time.Sleep(3 * time.Hour)
				w.publish("p2")
				subscribers := w.hub.Hub().Subscribers(w.topic)
				if len(subscribers) != 1 || subscribers[0].Name != "Ward 7" || subscribers[0].Last.EventID != "p2" || subscribers[0].Last.Status != 200 {
					t.Errorf("the hub has %+v", subscribers)
				}
				want := []string{"subscribed 1", "event p1", "event p2"}
				got := slices.DeleteFunc(slices.Clone(w.heard), func(s string) bool { return !slices.Contains(want, s) && s[:4] != "lost" })
				if !slices.Equal(got, want) {
					t.Errorf("heard %q", got)
				}
				if err := w.hub.Restart(t.Context(), true); err != nil {
					t.Fatal(err)
				}
				w.net.Cut()
				time.Sleep(20 * time.Second)
				if w.publish("p3"); !w.has("subscribed 2") || !w.has("event p3") {
					t.Errorf("after a restart: %q", w.heard)
				}
				cancel()
				err = <-w.ended
				if synctest.Wait(); err != nil || len(w.hub.Hub().Subscribers(w.topic)) != 0 {
					t.Errorf("%v; the hub has %+v", err, w.hub.Hub().Subscribers(w.topic))
				}
			})
		})
	}
}
