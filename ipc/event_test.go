package ipc

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/castray/castray/ipc/protocol"
	"github.com/google/go-cmp/cmp"
)

func TestReadEventReadsWhatDecodeReads(t *testing.T) {
	for _, params := range []string{
		`{"timestamp":"2026-01-02T03:04:05Z","id":"e\u0031","event":{"hub.event":"Patient-open"}}`,
		`{"event":{"a":[1,{}]},"castray":{"replay":true,"derived":true},"id":"e1","more":[{}],"timestamp":""}`,
		`{"timestamp":"","id":"","event":{},"castray":null}`,
	} {
		var want protocol.Event
		if err := protocol.Decode(json.RawMessage(params), &want); err != nil {
			t.Fatal(err)
		}
		got, err := ReadEvent(json.RawMessage(params))
		if err != nil {
			t.Errorf("%s: %v", params, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-Decode +ReadEvent):\n%s", params, diff)
		}
	}
}

func TestReadEventRefusesWhatIsNone(t *testing.T) {
	for _, params := range []string{
		``, `null`, `[]`, `{}`, `{"id":"CANARY","timestamp":""}`, `{"id":1,"timestamp":"","event":{}}`, `{"id":"","timestamp":"","event":"x"}`,
		`{"id":"","timestamp":1,"event":{}}`, `{"id":"","timestamp":"","event":{},"castray":"x"}`, `{"id":"","timestamp":"","event":{`,
		`{"id":"CANARY","id":"","timestamp":"","event":{}}`,
	} {
		_, err := ReadEvent(json.RawMessage(params))
		var e *protocol.Error
		if !errors.As(err, &e) || e.Code != protocol.CodeInvalidParams || strings.Contains(err.Error(), "CANARY") {
			t.Errorf("%s: %v", params, err)
		}
	}
}

func BenchmarkReadEvent(b *testing.B) {
	params := json.RawMessage(`{"timestamp":"x","id":"e","event":{"a":"` + strings.Repeat("hello {} ", 1100) + `"}}`)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ReadEvent(params); err != nil {
			b.Fatal(err)
		}
	}
}
