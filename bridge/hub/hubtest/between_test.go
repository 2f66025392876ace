package hubtest_test

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/castray/castray/bridge/hub/hubtest"
)

func TestWhatStandsBetween(t *testing.T) {
	for _, row := range []struct {
		fault  hubtest.Fault
		status int
		header string
		want   string
		body   string
	}{
		{hubtest.Portal, 200, "Content-Type", "text/html", "<title>"},
		{hubtest.RedirectElsewhere, 307, "Location", "https://elsewhere.example.test/fc", ""},
		{hubtest.TooManyRequests, 429, "Retry-After", "7", ""},
		{hubtest.Unavailable, 503, "Retry-After", "7", ""},
		{hubtest.UnavailableUntil, 503, "Retry-After", "Sat, 01 Jan 2000 00:00:07 GMT", ""},
	} {
		t.Run(string(row.fault), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
				_, endpoint := w.subscribe()
				w.Fault(row.fault, -1)
				for _, ask := range [][3]string{
					{"POST", w.URL(), "application/x-www-form-urlencoded"},
					{"POST", w.URL(), "application/json"},
					{"GET", w.URL() + "/" + w.topic.Reveal(), ""},
					{"GET", w.URL() + "/.well-known/fhircast-configuration", ""},
				} {
					status, body, header, err := w.do(ask[0], ask[1], ask[2], string(w.event("1").Wire()))
					if err != nil || status != row.status || !strings.HasPrefix(header.Get(row.header), row.want) || !strings.Contains(body, row.body) {
						t.Errorf("%s: %d, %s: %q, %v", ask[0], status, row.header, header.Get(row.header), err)
					}
				}
				if _, err := w.connect(endpoint); err == nil {
					t.Error("the socket got through")
				}
				w.Fault(row.fault, 0)
				p, err := w.connect(endpoint)
				if err != nil || !strings.Contains(p.frame(), "subscribe") || p.frame() != "nothing" {
					t.Errorf("afterwards, or the hub has seen what was answered before it: %v", err)
				}
			})
		})
	}
}

func TestHeartbeats(t *testing.T) {
	for _, row := range []struct {
		fault   hubtest.Fault
		unasked bool
		context string
	}{
		{hubtest.HeartbeatAsked, false, `[{"decimal":10,"key":"period"}]`},
		{hubtest.HeartbeatStringPeriod, true, `[{"decimal":"10","key":"period"}]`},
		{hubtest.HeartbeatWithoutPeriod, true, `[]`},
	} {
		t.Run(string(row.fault), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.Fault(row.fault, -1)
				asks, deaf := w.join(), w.join("hub.events", "Patient-open")
				asks.frame()
				deaf.frame()
				time.Sleep(25 * time.Second)
				for range 3 {
					if f := asks.frame(); !strings.Contains(f, `"hub.event":"heartbeat"`) || !strings.Contains(f, `"context":`+row.context) {
						t.Errorf("got %s", f)
					}
				}
				if f := asks.frame(); f != "nothing" {
					t.Errorf("too many: %s", f)
				}
				if f := deaf.frame(); (f != "nothing") != row.unasked {
					t.Errorf("who did not ask: %s", f)
				}
				if status, _ := w.subscribe("hub.channel.endpoint", asks.endpoint); status != 202 { // it does not beat twice as fast
					t.Error(status)
				}
				asks.frame()
				if f := asks.frame(); f != "nothing" {
					t.Errorf("after a renewal: %s", f)
				}
			})
		})
	}
}
