package subscriber

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/castray/castray/bridge/fhircast"
)

// FC-GEN-07 FC-ACK-05 FC-ACK-10 FC-ACK-11: rubbish is answered 400 where there is an id to answer to, never otherwise;
// the line stays.
func TestRubbish(t *testing.T) {
	for _, tt := range []struct{ name, text, refused, answer string }{
		{"no JSON", "hello", `"" "" it is not a JSON object in UTF-8 without duplicate names`, ""},
		{"an empty frame", "", `"" "" it is not a JSON object in UTF-8 without duplicate names`, ""},
		{"bad UTF-8", "{\"id\":\"x\",\"timestamp\":\"\xff\"}", `"x" "" it is not a JSON object in UTF-8 without duplicate names`, `{"id":"x","status":400}`},
		{"an event without context", `{"id":"x","timestamp":"2000-01-01T00:00:00Z","event":{"hub.topic":"t","hub.event":"Patient-open"}}`,
			`"x" "Patient-open" it has no context`, `{"id":"x","status":400}`},
		{"an event without id", `{"timestamp":"2000-01-01T00:00:00Z","event":{"hub.topic":"t","hub.event":"Patient-open","context":[]}}`,
			`"" "Patient-open" it has no id`, ""},
		{"an unknown message", `{"hub.mode":"publish","hub.topic":"t"}`, `"" "" it is no message that FHIRcast knows`, ""},
		{"an array", `[1,2]`, `"" "" it is not a JSON object in UTF-8 without duplicate names`, ""},
		// FC-ACK-12: an error about an error would go round for ever.
		{"a broken SyncError", `{"id":"x","timestamp":"2000-01-01T00:00:00Z","event":{"hub.topic":"t","hub.event":"syncerror"}}`,
			`"x" "syncerror" it has no context`, `{"id":"x","status":200}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := play(t, nil, func(w *world) {
				w.last().send(tt.text)
				w.after(time.Second)
				w.last().event("e1", "Patient-open")
				w.after(2 * time.Second)
			})
			w.wantHeard(
				"0s subscribed 1: Patient-open,Patient-close,SyncError",
				"0s refused 1: "+tt.refused,
				"1s event 1: e1 Patient-open",
				"2s run returned: <nil>",
			)
			answers := slices.DeleteFunc(slices.Clone(w.hubSaw), func(s string) bool { return !strings.Contains(s, "answer") })
			want := []string{`1s answer 1: {"id":"e1","status":200}`}
			if tt.answer != "" {
				want = append([]string{"0s answer 1: " + tt.answer}, want...)
			}
			if !slices.Equal(answers, want) {
				t.Errorf("answers %q, want %q", answers, want)
			}
		})
	}
}

// FC-GEN-07 FM-21: the malformed examples and worse, one after the other, on one line: each that is not an event is refused
// with a 4xx where it has an id, the line holds, and nothing panics.
func TestMalformedExamples(t *testing.T) {
	files, err := filepath.Glob("../fhircast/testdata/examples/malformed/*")
	if err != nil || len(files) == 0 {
		t.Fatalf("no examples: %v", err)
	}
	var corpus []string
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		corpus = append(corpus, string(text))
	}
	event := func(id, more string) string {
		return fmt.Sprintf(`{"timestamp":"2000-01-01T00:00:00Z","id":%q,"event":{"hub.topic":%q,"hub.event":"Patient-open",%s}}`, id, topic.Reveal(), more)
	}
	worse := []string{
		event("worse-deep", `"context":`+strings.Repeat("[", 1e5)+strings.Repeat("]", 1e5)),
		event("worse-twice", `"context":[],"context":[]`),
		event("worse-type", `"context":7`),
		event("worse-items", `"context":[7]`),
		event("worse-utf8", "\"context\":[],\"x\":\"\xff\xfe\""),
		event("worse-control", "\"context\":[],\"x\":\"\n\""),
		event("worse-half", `"context":[]`)[:60],
	}
	w := play(t, nil, func(w *world) {
		w.after(time.Second)
		for _, text := range append(corpus, worse...) {
			w.last().send(text)
		}
		w.after(2 * time.Second)
		w.last().event("last", "Patient-open")
		w.after(3 * time.Second)
	})
	if want := "2s event 1: last Patient-open"; !slices.Contains(w.appHeard, want) {
		t.Errorf("no %q in %q", want, w.appHeard)
	}
	for _, id := range []string{"worse-deep", "worse-twice", "worse-type", "worse-items", "worse-utf8", "worse-control"} {
		if want := fmt.Sprintf(`1s answer 1: {"id":%q,"status":400}`, id); !slices.Contains(w.hubSaw, want) {
			t.Errorf("no %s", want)
		}
		if slices.ContainsFunc(w.appHeard, func(s string) bool { return strings.Contains(s, "event 1: "+id) }) {
			t.Errorf("%s was delivered", id)
		}
	}
}

// FC-GEN-03 FC-GEN-07: what is not text is refused, and what we say is text. (The world has an eye on the latter.)
func TestBinaryFrames(t *testing.T) {
	w := play(t, nil, func(w *world) {
		for _, text := range []string{"\x00\x01", `{"id":"x"}`} {
			s := w.last()
			s.write.Lock()
			s.ws.WriteMessage(websocket.BinaryMessage, []byte(text))
			s.write.Unlock()
		}
		w.after(time.Second)
	})
	w.wantHeard(
		"0s subscribed 1: Patient-open,Patient-close,SyncError",
		`0s refused 1: "" "" it is binary`,
		`0s refused 1: "x" "" it is binary`,
		"1s run returned: <nil>",
	)
	if w.hubSaw[2] != `0s answer 1: {"id":"x","status":400}` {
		t.Errorf("saw %q", w.hubSaw)
	}
}

// FC-ACK-11: confirmations, denials, answers are never answered.
func TestWhatIsNotAnswered(t *testing.T) {
	w := play(t, nil, func(w *world) {
		w.last().confirm(3600)
		w.last().deny("Patient-close")
		w.last().send(`{"id":"x","status":200}`)
		w.last().send(`{"hub.mode":"denied","hub.topic":"other"}`)
		w.after(time.Second)
	})
	w.wantSaw("0s subscribe", "0s socket 1", "1s unsubscribe", "1s socket 1 ended: 1000")
	w.wantHeard("0s subscribed 1: Patient-open,Patient-close,SyncError", "0s subscribed 1: Patient-open,SyncError", "1s run returned: <nil>")
}

// FC-ACK-13 FC-CS-27: 4 MiB are relayed, more is answered 413, more than 32 MiB ends the socket.
func TestSizes(t *testing.T) {
	t.Parallel() // it has a clock of its own, and much to do
	event := func(id string, size int) string {
		head := fmt.Sprintf(`{"timestamp":"2000-01-01T00:00:00Z","event":{"hub.topic":%q,"hub.event":"Patient-open","context":[]},"x":"`, topic.Reveal())
		tail := fmt.Sprintf(`","id":%q}`, id)
		return head + strings.Repeat("x", size-len(head)-len(tail)) + tail
	}
	w := play(t, nil, func(w *world) {
		w.after(time.Second)
		w.last().send(event("just", relayLimit))
		w.last().send(event("more", relayLimit+1))
		w.last().send(event("much", frameLimit))
		w.last().event("e1", "Patient-open")
		w.after(2 * time.Second)
		w.last().send(event("over", frameLimit+1))
		w.after(10 * time.Second)
	})
	w.wantHeard(
		"0s subscribed 1: Patient-open,Patient-close,SyncError",
		"1s event 1: just Patient-open",
		`1s refused 1: "more" "Patient-open" it is larger than 4 MiB`,
		`1s refused 1: "much" "Patient-open" it is larger than 4 MiB`,
		"1s event 1: e1 Patient-open",
		"2s lost 1: the hub sent a frame larger than 32 MiB",
		"4.5s subscribed 2: Patient-open,Patient-close,SyncError",
		"10s run returned: <nil>",
	)
	for _, want := range []string{`1s answer 1: {"id":"more","status":413}`, "2s socket 1 ended: 1009", "4.5s socket 2"} {
		if !slices.Contains(w.hubSaw, want) {
			t.Errorf("no %q in %q", want, w.hubSaw)
		}
	}
}

// FC-ACK-01 FC-ACK-02: one answer each, as a number, on the socket of the event; none after that has ended.
func TestAnswersComeFromAnywhere(t *testing.T) {
	var late *fhircast.Delivery
	w := play(t, func(w *world) {
		w.onDelivery = func(d *fhircast.Delivery) {
			go func() {
				time.Sleep(time.Second)
				d.Answer(409)
				d.Answer(200)
			}()
		}
	}, func(w *world) {
		w.last().event("e1", "Patient-open")
		w.after(2 * time.Second)
		w.onDelivery = func(d *fhircast.Delivery) { late = d }
		w.last().event("e2", "Patient-open")
		w.after(3 * time.Second)
		w.last().close(1011)
		w.after(10 * time.Second)
		late.Answer(200)
		w.after(20 * time.Second)
	})
	answers := slices.DeleteFunc(slices.Clone(w.hubSaw), func(s string) bool { return !strings.Contains(s, "answer") })
	if want := []string{`1s answer 1: {"id":"e1","status":409}`}; !slices.Equal(answers, want) {
		t.Errorf("answers %q, want %q", answers, want)
	}
	if late.Event.ID != "e2" {
		t.Errorf("%v", late.Event)
	}
}

// Where nothing is written the queue of answers is full at some time, and then the line is dead, not the relay.
func TestAnswerQueueIsBounded(t *testing.T) {
	near, far := net.Pipe()
	defer far.Close()
	s := newSocketChannel(t.Context(), nil, near, fhircast.Dialect{})
	for range mostAnswers + 10 {
		s.answer(fhircast.Answer{ID: "x", Status: 200})
	}
	if len(s.answers) != mostAnswers {
		t.Errorf("%d answers wait", len(s.answers))
	}
	if err := s.end(nil); err == nil || err.Error() != "the hub takes no answers" {
		t.Errorf("the line ends with %v", err)
	}
	if _, err := far.Read(make([]byte, 1)); err == nil {
		t.Error("the connection is open")
	}
}

// FC-HGS-07: a hub's pings are answered, a flood of them not one by one.
func TestPingFlood(t *testing.T) {
	pongs := 0
	w := play(t, nil, func(w *world) {
		s := w.last()
		s.ws.SetPongHandler(func(string) error { pongs++; return nil })
		for range 10000 {
			s.ping()
		}
		w.after(time.Second)
		s.ping()
		w.after(2 * time.Second)
	})
	if pongs < 2 || pongs > 20 {
		t.Errorf("%d pongs", pongs)
	}
	w.wantHeard("0s subscribed 1: Patient-open,Patient-close,SyncError", "2s run returned: <nil>")
}
