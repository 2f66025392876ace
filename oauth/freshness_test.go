package oauth

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// describing is a launcher whose server describes itself with that Cache-Control, and how often it was asked.
func describing(cacheControl string) (l *Launcher, asked *int) {
	asked = new(int)
	return &Launcher{Site: Site{FHIRURL: "https://ehr.example/fhir", ClientID: "c"}, HTTP: &http.Client{Transport: roundTrip(
		func(r *http.Request) (*http.Response, error) {
			*asked++
			return &http.Response{StatusCode: http.StatusOK, Header: http.Header{"Cache-Control": {cacheControl}}, Request: r,
				Body: io.NopCloser(strings.NewReader(`{"authorization_endpoint":"/a","token_endpoint":"/t"}`))}, nil
		})}}, asked
}

func TestDiscoveryIsFreshForADay(t *testing.T) {
	// SM-DISC-11: kept for as long as the server says, and a day at most.
	for cacheControl, want := range map[string]time.Duration{
		"": 24 * time.Hour, "max-age=3600": time.Hour, "public, MAX-AGE=60": time.Minute, "max-age=99999999": 24 * time.Hour,
		"max-age=soon": 24 * time.Hour, "no-store": 0, "no-cache, max-age=60": 0,
	} {
		synctest.Test(t, func(t *testing.T) {
			l, asked := describing(cacheControl)
			look := func(n int) {
				t.Helper()
				if _, err := l.discovered(t.Context()); err != nil || *asked != n {
					t.Errorf("%q: asked %d times, want %d: %v", cacheControl, *asked, n, err)
				}
			}
			look(1)
			if want > 0 {
				time.Sleep(want - time.Second)
				look(1)
			}
			time.Sleep(time.Second)
			look(2)
		})
	}
}

func TestSilentServersEndTheWait(t *testing.T) {
	// SM-DISC-11: ten seconds for a description; a token has a little more. Endless answers end there too.
	silent := roundTrip(func(r *http.Request) (*http.Response, error) {
		<-r.Context().Done()
		return nil, r.Context().Err()
	})
	trickle := roundTrip(func(r *http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: drops(r.Context().Done()), Request: r}, nil
	})
	for name, transport := range map[string]http.RoundTripper{"silent": silent, "a drop a second": trickle} {
		synctest.Test(t, func(t *testing.T) {
			w := newWeb(Site{FHIRURL: "https://ehr.example/fhir"}, &http.Client{Transport: transport})
			began := time.Now()
			_, err := w.fetch(t.Context(), "discover", "https://ehr.example/x", "application/json")
			if d := time.Since(began); d != getTimeout || !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%s: discovery after %v: %v", name, d, err)
			}
			began = time.Now()
			_, err = w.send(t.Context(), "exchange", "https://ehr.example/x", "", nil)
			if d := time.Since(began); d != tokenTimeout || !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(Sentence(err), "in time") {
				t.Errorf("%s: token after %v: %v", name, d, err)
			}
		})
	}
}

// drops is a body of one byte a second until the request ends.
type drops <-chan struct{}

func (d drops) Read(p []byte) (int, error) {
	t := time.NewTimer(time.Second)
	defer t.Stop()
	select {
	case <-t.C:
		p[0] = ' '
		return 1, nil
	case <-d:
		return 0, context.DeadlineExceeded
	}
}

func (drops) Close() error { return nil }
