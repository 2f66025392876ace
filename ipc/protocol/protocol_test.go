package protocol_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/castray/castray/ipc/protocol"
)

func TestOutcomesAreOrderedWorstFirst(t *testing.T) {
	order := []protocol.Outcome{"no such outcome", "mismatch", "failed", "refused", "silent", "pending", "sent", "acknowledged", "verified"}
	aside := []protocol.Outcome{"paused", "cleared"}
	for i, worse := range order {
		for j, better := range order {
			if got, want := worse.Worse(better), i < j; got != want {
				t.Errorf("%q worse than %q: %v, want %v", worse, better, got, want)
			}
		}
		for _, a := range aside {
			if !worse.Worse(a) || a.Worse(worse) {
				t.Errorf("%q stands aside and must be better than %q", a, worse)
			}
		}
	}
	if aside[0].Worse(aside[1]) || aside[1].Worse(aside[0]) {
		t.Error("paused and cleared are not worse than each other")
	}
	// S1: what is unknown never looks good.
	if !protocol.Outcome("").Worse(protocol.OutcomeMismatch) {
		t.Error("an outcome nobody set must be worse than all others")
	}
}

func TestZeroValuesAreWrittenWithoutNull(t *testing.T) {
	for _, v := range []any{
		protocol.Status{}, protocol.AppRow{}, protocol.AppsResult{}, protocol.ResumeResult{}, protocol.ShownResult{}, protocol.Window{},
		protocol.Hello{}, protocol.SubscribeParams{}, protocol.Problem{}, protocol.User{},
	} {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(b), "null") {
			t.Errorf("%T: %s", v, b)
		}
	}
}

func TestTimesAreWrittenAsUTCSeconds(t *testing.T) {
	at := time.Date(2026, 1, 2, 4, 4, 5, 999, time.FixedZone("", 3600))
	const want = `"2026-01-02T03:04:05Z"`
	for _, v := range []any{
		protocol.Status{Since: at}, protocol.User{Until: at}, protocol.LastEvent{At: at}, protocol.AppRow{At: at}, protocol.AppRow{Since: at},
		protocol.Problem{Since: at}, &protocol.Status{Since: at},
	} {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(b), want) {
			t.Errorf("%T: %s lacks %s", v, b, want)
		}
	}
}

func TestStatusForAppsHasNoUser(t *testing.T) {
	s := protocol.Status{User: &protocol.User{Name: "R. Reader"}, Phase: protocol.PhaseInSync}
	b, err := json.Marshal(s.ForApps())
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(b), "Reader") || strings.Contains(string(b), `"user"`) {
		t.Errorf("an app sees the user: %s", b)
	}
	if s.User == nil || s.ForApps().Phase != protocol.PhaseInSync {
		t.Error("ForApps must change its copy, and only the user")
	}
}

func TestDecode(t *testing.T) {
	for _, row := range []struct {
		name, params, sentence string
	}{
		{"absent params are an empty object", ``, ""},
		{"null params too", ` null `, ""},
		{"unknown members are ignored", `{"protocol":1,"colour":"red"}`, ""},
		{"an array of params is refused", `[1]`, "object"},
		{"a scalar is refused", `"x"`, "object"},
		{"a wrong type names the member", `{"name":{"patient":"Canary"}}`, `"name" must not be of type object`},
		{"a wrong number does not show the number", `{"name":4711}`, `"name" must not be of type number`},
		{"broken JSON is refused", `{"name":`, "not valid JSON"},
	} {
		t.Run(row.name, func(t *testing.T) {
			var h protocol.Hello
			err := protocol.Decode(json.RawMessage(row.params), &h)
			if row.sentence == "" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			var e *protocol.Error
			if !errors.As(err, &e) || e.Code != protocol.CodeInvalidParams || !strings.Contains(e.Message, row.sentence) {
				t.Fatalf("got %v, want -32602 with %q", err, row.sentence)
			}
			for _, phi := range []string{"Canary", "4711"} {
				if strings.Contains(err.Error(), phi) {
					t.Errorf("the sentence shows the value: %v", err)
				}
			}
		})
	}
}

func TestHelloCheck(t *testing.T) {
	for _, row := range []struct {
		name  string
		hello protocol.Hello
		code  int
	}{
		{"a plain hello passes", protocol.Hello{Protocol: 1, Name: "Bildanzeige für Köln"}, 0},
		{"another version", protocol.Hello{Protocol: 2, Name: "viewer"}, protocol.CodeVersion},
		{"no version", protocol.Hello{Name: "viewer"}, protocol.CodeVersion},
		{"no name", protocol.Hello{Protocol: 1}, protocol.CodeInvalidParams},
		{"a name that looks like an id", protocol.Hello{Protocol: 1, Name: "viewer#2"}, protocol.CodeInvalidParams},
		{"a name with a line break", protocol.Hello{Protocol: 1, Name: "a\nb"}, protocol.CodeInvalidParams},
		{"a name that turns text round", protocol.Hello{Protocol: 1, Name: "a\u202eb"}, protocol.CodeInvalidParams},
		{"a long name", protocol.Hello{Protocol: 1, Name: strings.Repeat("x", 65)}, protocol.CodeInvalidParams},
		{"too many events", protocol.Hello{Protocol: 1, Name: "x", Events: make([]string, 257)}, protocol.CodeInvalidParams},
	} {
		t.Run(row.name, func(t *testing.T) {
			err := row.hello.Check()
			var e *protocol.Error
			if errors.As(err, &e) != (row.code != 0) || (e != nil && e.Code != row.code) {
				t.Fatalf("got %v, want code %d", err, row.code)
			}
		})
	}
}

func TestErrorDataOfAnotherShapeIsIgnored(t *testing.T) {
	var e protocol.Error
	if err := json.Unmarshal([]byte(`{"code":-1,"message":"m","data":["stack"]}`), &e); err != nil || e.Data != nil || e.Code != -1 {
		t.Errorf("%v %+v", err, e)
	}
}

func TestNothingCurrentHasNoLength(t *testing.T) {
	var c protocol.ContextResult
	if err := json.Unmarshal([]byte(`{"current":null,"open":[]}`), &c); err != nil || len(c.Current) != 0 {
		t.Errorf("%v %q", err, c.Current)
	}
}

func TestS11_KeysPrintNothing(t *testing.T) {
	k := protocol.Keys{Key: "CANARY-KEY", AppKey: "CANARY-APP"}
	var log strings.Builder
	slog.New(slog.NewJSONHandler(&log, nil)).Info("started", "keys", k)
	for _, text := range []string{log.String(), fmt.Sprint(k), fmt.Sprintf("%+v %#v %s", k, k, &k)} {
		if strings.Contains(text, "CANARY") {
			t.Errorf("a key is printed: %s", text)
		}
	}
}
