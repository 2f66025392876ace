package sandbox

import (
	"context"
	"net/http"
	"slices"
	"strings"

	"github.com/castray/castray/bridge/fhircast"
	"github.com/castray/castray/bridge/hub"
	"github.com/castray/castray/bridge/hub/hubtest"
	"github.com/castray/castray/oauth/oauthtest"
)

// Faults are what a sandbox does wrong: its hub, how many times each, below 0 always; and its sign-in, always. They come
// from [ParseFaults].
type Faults struct {
	hub    map[hubtest.Fault]int
	signIn oauthtest.Faults
}

// ParseFaults reads a list such as "names-lower,drop=1,signin-slow". The error may be shown.
func ParseFaults(list string) (f Faults, err error) {
	var ofHub []string
	for name := range strings.SplitSeq(list, ",") {
		if !f.addSignIn(strings.TrimSpace(name)) {
			ofHub = append(ofHub, name)
		}
	}
	if len(ofHub) > 0 {
		f.hub, err = hubtest.Parse(strings.Join(ofHub, ","))
	}
	return f, err
}

// addSignIn reports whether there is a fault of the sign-in of that name.
func (f *Faults) addSignIn(name string) bool {
	for _, n := range oauthtest.Catalogue() {
		if n.Name == name {
			n.Add(&f.signIn)
			return true
		}
	}
	return false
}

// A Fault is one that there is, with what it does in a sentence.
type Fault struct{ Name, Help string }

// KnownFaults are all that [ParseFaults] knows: what a hub may do any number of times, what it does always or never, and
// what a sign-in does.
func KnownFaults() []Fault {
	var list []Fault
	for _, f := range append(hubtest.Faults(), hubtest.Habits()...) {
		list = append(list, Fault{string(f), f.Help()})
	}
	for _, n := range oauthtest.Catalogue() {
		list = append(list, Fault{n.Name, n.Help})
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
func (s *Sandbox) openHub(c hub.Config, faults map[hubtest.Fault]int) (err error) {
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
