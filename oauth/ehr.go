package oauth

import (
	"context"
	"net/url"
	"slices"
	"strings"
)

// EHRLaunch is what an EHR hands over when it launches us (SMART 2.2, app-launch, 2.0.4). It is untrusted input.
type EHRLaunch struct {
	// FHIRURL is the iss of the launch, sent as aud exactly as spelled there. It is no issuer: see that type.
	FHIRURL string
	// Launch is opaque: it goes back as it came, and nowhere else.
	Launch Secret
}

// Launched reports whether iss, which came from outside, is the FHIR base of this site: case of scheme and host, a
// default port and one trailing slash do not matter, and what could make two readers see two servers is never taken.
func (s Site) Launched(iss string) bool {
	ours, err := url.Parse(s.FHIRURL)
	if err != nil {
		return false
	}
	theirs, err := url.Parse(iss)
	if err != nil || s.usable(theirs) != nil || strings.ContainsAny(iss, "?#\\") {
		return false
	}
	path := func(u *url.URL) string { return strings.TrimSuffix(u.EscapedPath(), "/") }
	return origin(theirs) == origin(ours) && path(theirs) == path(ours)
}

// Reaches reports whether a hub that was named from outside may get a token of this site: its origin is that of FHIRURL or
// HubURL, and what would be sent there is encrypted.
func (s Site) Reaches(hub string) bool {
	u, err := url.Parse(hub)
	if err != nil || s.usable(u) != nil || strings.ContainsAny(hub, "#\\") {
		return false
	}
	return origin(u) == originOf(s.FHIRURL) || s.HubURL != "" && origin(u) == originOf(s.HubURL)
}

// StartEHR is Start for a launch by an EHR. The launch's FHIR base has to be that of the site, or nothing is sent.
func (l *Launcher) StartEHR(ctx context.Context, e EHRLaunch) (*Attempt, error) {
	if !l.Site.Launched(e.FHIRURL) {
		return nil, &failure{doing: "launch: it names another server than the site", sentence: "The launch names another server than this site: start it again from the EHR."}
	}
	if e.Launch.IsZero() {
		return nil, &failure{doing: "launch: without a launch parameter", sentence: "The launch is not complete: start it again from the EHR."}
	}
	return l.start(ctx, l.Site.Shared, e)
}

// site is what an attempt asks for: an EHR launch adds a scope, and has its own spelling of the FHIR base.
func (e EHRLaunch) site(s Site) Site {
	if e.Launch.IsZero() {
		return s
	}
	s.FHIRURL = e.FHIRURL
	if !hasScope(s.Scopes, "launch") {
		s.Scopes = append(slices.Clone(s.Scopes), "launch")
	}
	return s
}
