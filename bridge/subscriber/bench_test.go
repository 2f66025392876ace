package subscriber

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/gorilla/websocket"

	"github.com/castray/castray/bridge/fhircast"
	"github.com/castray/castray/bridge/hub/hubtest"
)

// BenchmarkEvent is one event after the other through a socket over TLS, to the Handler and its answer back.
func BenchmarkEvent(b *testing.B) {
	for _, size := range []int{1 << 10, 10 << 10, 100 << 10} {
		b.Run(fmt.Sprintf("%dKB", size>>10), func(b *testing.B) {
			text := fmt.Sprintf(`{"timestamp":"2026-01-01T00:00:00Z","id":"e1","event":{"hub.topic":"t","hub.event":"Patient-open","context":[{"key":"patient","resource":{"resourceType":"Patient","id":"1","name":[%s]}}]}}`,
				strings.TrimSuffix(strings.Repeat(`{"family":"Sample","given":["Ada"]},`, size/36), ","))
			answered := make(chan struct{})
			up := websocket.Upgrader{}
			sockets := make(chan *websocket.Conn, 1)
			net := hubtest.Pipe(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				switch {
				case websocket.IsWebSocketUpgrade(r):
					ws, err := up.Upgrade(w, r, nil)
					if err != nil {
						return
					}
					_ = ws.WriteMessage(websocket.TextMessage, []byte(`{"hub.mode":"subscribe","hub.topic":"t","hub.events":"Patient-open","hub.lease_seconds":3600}`))
					sockets <- ws
					for {
						if _, _, err := ws.ReadMessage(); err != nil {
							ws.Close()
							return
						}
						answered <- struct{}{}
					}
				case r.Method == http.MethodPost:
					fmt.Fprint(w, `{"hub.channel.endpoint":"wss://hub.example.test/ws"}`)
				default:
					http.NotFound(w, r)
				}
			}))
			defer net.Close()
			c := New(Config{HubURL: hubtest.PipeURL, Topic: "t", TLS: net.TLS(), Dial: net.Dial, Handler: eager{}})
			ctx, cancel := context.WithCancel(b.Context())
			ran := make(chan error)
			go func() { ran <- c.Run(ctx) }()
			ws := <-sockets
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			for b.Loop() {
				if err := ws.WriteMessage(websocket.TextMessage, []byte(text)); err != nil {
					b.Fatal(err)
				}
				<-answered
			}
			cancel()
			<-ran
		})
	}
}

// eager answers at once.
type eager struct{}

func (eager) Subscribed(int, []fhircast.Name)   {}
func (eager) Deliver(d *fhircast.Delivery)      { d.Answer(200) }
func (eager) Refused(int, *fhircast.FrameError) {}
func (eager) Lost(int, string)                  {}
func (eager) State(State)                       {}
