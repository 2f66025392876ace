package hubtest_test

import (
	"strings"
	"testing"
	"testing/synctest"

	"github.com/castray/castray/bridge/hub/hubtest"
)

func TestShapesOfTheCurrentContext(t *testing.T) {
	for _, row := range []struct {
		fault      hubtest.Fault
		noneStatus int
		none, some string
	}{
		{"", 200, `{"context.type":"","context":[]}`, `{"context.type":"Patient","context.versionId":"`},
		{hubtest.ContentNone, 200, `{"context":[],"context.type":""}`, `{"context":[` + patient + `],"context.type":"Patient"}`},
		{hubtest.ContextNone204, 204, "", `{"context.type":"Patient"`},
		{hubtest.ContextNone404, 404, "none", `{"context.type":"Patient"`},
		{hubtest.ContextNoneArray, 200, "[]", `{"context.type":"Patient"`},
		{hubtest.ContextArray, 200, "[]", `[` + patient},
	} {
		t.Run(string(row.fault), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				if row.fault != "" {
					w.Fault(row.fault, -1)
				}
				if status, body := w.get(); status != row.noneStatus || body != row.none {
					t.Errorf("none: %d %q", status, body)
				}
				w.publish("1")
				if status, body := w.get(); status != 200 || !strings.HasPrefix(body, row.some) {
					t.Errorf("some: %d %q", status, body)
				}
			})
		})
	}
}

func TestContextAsAMessageOf2019(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.publish("1")
		w.Fault(hubtest.ContextAsEvent, 1)
		_, body := w.get()
		for _, part := range []string{`"timestamp":"2000-`, `"id":"`, `"hub.topic":"` + w.topic.Reveal() + `"`, `"context":[{"key":"patient"`} {
			if !strings.Contains(body, part) {
				t.Errorf("got %s, want %s", body, part)
			}
		}
		if strings.Contains(body, "hub.event") || strings.Contains(body, "context.type") {
			t.Errorf("got %s", body)
		}
		if _, body = w.get(); !strings.Contains(body, "context.type") {
			t.Errorf("the next: %s", body)
		}
	})
}

func TestDiscoveryIsMissing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.Fault(hubtest.DiscoveryMissing, 1)
		for _, want := range []int{404, 200} {
			if status, _, _, err := w.do("GET", w.URL()+"/.well-known/fhircast-configuration", "", ""); status != want || err != nil {
				t.Errorf("%d, %v", status, err)
			}
		}
	})
}
