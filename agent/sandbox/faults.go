package sandbox

import (
	"context"
	"net/http"
	"slices"
	"strings"

	"github.com/castray/castray/bridge/fhircast"
	"github.com/castray/castray/bridge/hub"
	"github.com/castray/castray/bridge/hub/hubtest"
)

// Faults are what a sandbox's hub does wrong, and how many times each: below 0 always. They come from [ParseFaults].
type Faults map[hubtest.Fault]int

// ParseFaults reads a list such as "names-lower,drop=1". The error may be shown.
func ParseFaults(list string) (Faults, error) {
	times, err := hubtest.Parse(list)
	return Faults(times), err
}

// A Fault is one that there is, with what it does in a sentence.
type Fault struct{ Name, Help string }

// KnownFaults are all that [ParseFaults] knows: first what may happen any number of times, then what is always or never.
func KnownFaults() []Fault {
	var list []Fault
	for _, f := range append(hubtest.Faults(), hubtest.Habits()...) {
		list = append(list, Fault{string(f), f.Help()})
	}
	return list
}

// A door is a hub as subscribers meet it: the honest one, or one that misbehaves.
type door interface {
	http.Handler
	Publish(ctx context.Context, topic fhircast.Secret, e *fhircast.Event) error
	Told(topic fhircast.Secret) fhircast.Secret
	Close()
}

type honest struct{ *hub.Hub }

// Told is a topic as it is.
func (honest) Told(topic fhircast.Secret) fhircast.Secret { return topic }

// openHub makes the hub, and lets faults loose at it where there are any.
func (s *Sandbox) openHub(c hub.Config, faults Faults) (err error) {
	if len(faults) == 0 {
		s.hub, err = hub.New(c)
		s.door = honest{s.hub}
		return err
	}
	c.Webhooks.Client = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}} // for STU1; to addresses of this machine only
	server, err := hubtest.New(c)
	if err != nil {
		return err
	}
	var names []string
	for f, times := range faults {
		server.Fault(f, times)
		names = append(names, string(f))
	}
	s.hub, s.door = server.Hub(), server
	s.log.Warn("the hub misbehaves", "faults", strings.Join(slices.Sorted(slices.Values(names)), ","))
	return nil
}
