package agent

import (
	"context"
	"crypto/sha256"
	"net/url"
	"strings"
	"unicode"

	"github.com/castray/castray/agent/config"
	"github.com/castray/castray/bridge/fhircast"
	"github.com/castray/castray/ipc/protocol"
	"github.com/castray/castray/oauth"
)

// A launch is what came from outside, read and found allowed: an EHR launch at one of our sites, or the session of a hub
// that was handed over.
type launch struct {
	site *config.Site // nil = the hub that is configured without sign-in
	ehr  oauth.EHRLaunch
	hub  *handover
	mark [sha256.Size]byte // by which it is known when it comes again; it cannot be turned back
}

// starter starts its sign-in.
func (l launch) starter() starter {
	if l.ehr.Launch.IsZero() {
		return (*oauth.Launcher).Start
	}
	return func(launcher *oauth.Launcher, ctx context.Context) (*oauth.Attempt, error) {
		return launcher.StartEHR(ctx, l.ehr)
	}
}

// A handover is a hub's session that a program names instead of a sign-in.
type handover struct {
	url   string
	topic fhircast.Secret
}

// launchLimit is the most bytes that a launch may have; it is that of a redirect, whose code is of the same kind.
const launchLimit = 64 << 10

// launchScheme is what the operating system hands over; everything else that we take is the query alone.
const launchScheme = "castray:"

// readLaunch reads and judges a launch, whichever way it came: castray://launch?iss=..&launch=.., or the query alone, from
// the question mark on. It is pure, and nothing is sent before it has said yes.
func readLaunch(raw string, settings *config.Config) (launch, *refusal) {
	query, ok := strings.CutPrefix(raw, "?")
	if !ok {
		var why *refusal
		if query, why = linkQuery(raw, settings.Launch.Scheme); why != nil {
			return launch{}, why
		}
	}
	fields, ok := launchFields(query)
	switch {
	case !ok || len(raw) > launchLimit:
		return launch{}, refusedShape
	case fields["iss"] != "" && fields["launch"] != "":
		return readEHR(fields["iss"], fields["launch"], settings)
	case fields["iss"] == "" && fields["launch"] == "" && fields["hub.url"] != "" && fields["hub.topic"] != "":
		return readHandover(fields["hub.url"], fields["hub.topic"], settings)
	}
	return launch{}, refusedShape
}

// linkQuery is the query of a castray://launch link.
func linkQuery(raw string, switchedOn bool) (string, *refusal) {
	if len(raw) < len(launchScheme) || !strings.EqualFold(raw[:len(launchScheme)], launchScheme) {
		return "", refusedShape
	}
	what, query, _ := strings.Cut(raw[len(launchScheme):], "?")
	if what = strings.Trim(what, "/"); !strings.EqualFold(what, "launch") {
		return "", refusedShape
	}
	if !switchedOn {
		return "", refusedScheme
	}
	return query, nil
}

// launchFields reads a query. Not as url.ParseQuery, to which a semicolon in an opaque launch would be an error. What we do not
// know may be there; what we know may be there once.
func launchFields(query string) (map[string]string, bool) {
	query, _, _ = strings.Cut(query, "#")
	fields := make(map[string]string)
	for pair := range strings.SplitSeq(query, "&") {
		name, value, _ := strings.Cut(pair, "=")
		switch name {
		case "iss", "launch", "hub.url", "hub.topic":
		default:
			continue
		}
		text, err := url.QueryUnescape(value)
		if _, twice := fields[name]; twice || err != nil {
			return nil, false
		}
		fields[name] = text
	}
	return fields, true
}

// readEHR is an EHR launch (SMART 2.2, app-launch, 2.0.4). Of a session beside it nothing is taken: the sign-in names one.
func readEHR(iss, handle string, settings *config.Config) (launch, *refusal) {
	for i := range settings.Sites {
		s := &settings.Sites[i]
		if siteOf(s).Launched(iss) {
			return launch{site: s, ehr: oauth.EHRLaunch{FHIRURL: iss, Launch: oauth.NewSecret(handle)}, mark: markOf(s.FHIRURL, handle)}, nil
		}
	}
	return launch{}, refusedSite.of(iss)
}

// readHandover is a session that is named without a sign-in. The hub has to be one that the configuration already sends a
// token to.
func readHandover(hub, topic string, settings *config.Config) (launch, *refusal) {
	if !settings.Launch.HubHandover {
		return launch{}, refusedHandover
	}
	if len(topic) > 1024 || strings.ContainsFunc(topic, func(r rune) bool { return unicode.IsControl(r) || unicode.IsSpace(r) }) {
		return launch{}, refusedShape
	}
	l := launch{hub: &handover{hub, fhircast.Secret(topic)}, mark: markOf(hub, topic)}
	configured := oauth.Site{FHIRURL: settings.Hub.URL, LoopbackHTTP: settings.Hub.Test}
	if len(settings.Sites) == 0 && configured.Reaches(hub) {
		return l, nil
	}
	for i := range settings.Sites {
		if l.site = &settings.Sites[i]; siteOf(l.site).Reaches(hub) {
			return l, nil
		}
	}
	return launch{}, refusedHub.of(hub)
}

func markOf(where, what string) [sha256.Size]byte {
	return sha256.Sum256([]byte(where + "\x00" + what))
}

// A refusal is why a launch comes to nothing.
type refusal struct {
	log      string // constant, for an administrator
	sentence string // for a person
	code     int    // for a program at the pipe
	host     string // that was named, for the log
}

var (
	refusedShape    = &refusal{log: "it is no launch", sentence: "A launch that cannot be read was refused. Start it again from the EHR.", code: protocol.CodeInvalidParams}
	refusedScheme   = &refusal{log: "launch.scheme is off", sentence: "Launch links are switched off here. Sign in from the menu instead.", code: protocol.CodeNotAllowed}
	refusedSite     = &refusal{log: "the address is no configured site", sentence: "A launch from an address that is not configured was refused. If it was yours, tell your administrator.", code: protocol.CodeNotAllowed}
	refusedHandover = &refusal{log: "launch.hub_handover is off", sentence: "A program named a hub's session, which is switched off here. Sign in from the menu instead.", code: protocol.CodeNotAllowed}
	refusedHub      = &refusal{log: "the hub is of no configured site", sentence: "A program named a hub that is not configured; it was refused. If it was yours, tell your administrator.", code: protocol.CodeNotAllowed}
	refusedMany     = &refusal{log: "too many", sentence: "Too many launches came at once. Wait a moment, and start yours again from the EHR.", code: protocol.CodeBusy}
	refusedUsed     = &refusal{log: "it was used before", sentence: "That launch was used already. Start it again from the EHR.", code: protocol.CodeTooLate}
	refusedNow      = &refusal{log: "the phase allows none", sentence: "A launch came while none can be taken. Start it again when Castray is ready.", code: protocol.CodeNotAllowed}
	refusedCaller   = &refusal{log: "it is of another user", sentence: "A launch of another user of this computer was refused.", code: protocol.CodeNotAllowed}
	refusedRequest  = &refusal{log: "it is no plain navigation of a browser", sentence: "A web page tried to launch Castray in a way that is not allowed.", code: protocol.CodeNotAllowed}
)

// of notes the host that was named, as far as it is one that a log can hold.
func (r refusal) of(address string) *refusal {
	r.host = host(address)
	if len(r.host) > 100 || strings.ContainsFunc(r.host, func(c rune) bool { return c <= ' ' || c > '~' }) {
		r.host = "(not shown)"
	}
	return &r
}

func (r *refusal) answer() error { return &protocol.Error{Code: r.code, Message: r.sentence} }
