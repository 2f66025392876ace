package config

import (
	"log/slog"
	"strings"
	"time"

	"github.com/castray/castray/bridge/fhircast"
)

// A Config is what this version of Castray is set to. It holds only what takes effect; keys of the table that are not
// here are checked while loading, and refused or warned about where they would have asked for something.
type Config struct {
	// Sites are the places to sign in to; none when Hub is to be joined without sign-in.
	Sites []Site
	// Hub has a URL and a topic when it is to be joined without sign-in, and is zero otherwise.
	Hub Hub
	// Local is the side that local apps see.
	Local struct {
		AnswerWithin time.Duration // more than 0, at most 900 ms
		UnknownApps  string        // "allow": may follow, not send; "deny": refused
		// WebSocket is whether the loopback WebSocket is open, at WebSocketPort (0 = any) and for pages of Origins.
		WebSocket     bool
		WebSocketPort int
		Origins       []string
		// Endpoint is whether there is a local FHIRcast hub, at EndpointPort (0 = any).
		Endpoint     bool
		EndpointPort int
	}
	// Apps are the rules for local apps; the first that fits holds.
	Apps []App
	// Session is how sign-ins are held.
	Session struct {
		Shared           bool // several people use this account, so nothing is kept
		RefuseMemoryOnly bool // no sign-in where no keychain can keep it; never with Shared
	}
	// Launch is what may come from outside to start a sign-in.
	Launch struct {
		Port        int  // of the loopback GET /launch, 0 = off
		Scheme      bool // castray://launch
		HubHandover bool // hub.url and hub.topic, after a question
	}
	Log struct{ Level slog.Level }

	// Warnings are sentences about settings that have no effect, each with its place.
	Warnings []string

	origins []Origin
}

// A Site is a FHIR server to sign in to. Names and addresses of sites are unique, addresses also when written
// differently (case of the host, default port, one trailing slash).
type Site struct {
	Name     string // never empty
	FHIRURL  string // as written, since servers compare it byte for byte
	ClientID string
	// Auth is "public", "secret" or "private_key_jwt". PlainBasic: a secret goes out as it is.
	Auth       string
	PlainBasic bool
	Scopes     []string // as configured, but for the style; see Scopes for what to ask for
	Authorize  []string // "name=value" to add to the authorization request
	Redirect   string   // "loopback", or with the ports registered there, in order of preference: "loopback:17321,17322"; or oauth.SchemeRedirect
	CAFile     string   // "" is the system's authorities alone
	// IDTokenAlgs are what an id_token may be signed with besides RS256.
	IDTokenAlgs []string
	// Hub is what [site.hub] and [hub] say. URL and Topic serve where the sign-in gives none; there is never a TokenFile.
	Hub Hub
}

// An App is a rule for one local app. It has an executable or a SHA-256, or both, and then both have to fit.
type App struct {
	Name     string          // the rule's label, unique
	Exe      string          // path; "" = any
	SHA256   string          // of the executable, in lower-case hex; "" = any
	Events   []fhircast.Name // that it may see; nil = all
	Send     []fhircast.Name // that it may ask for; nil = none
	Required string          // "connected", "always" or "never"
	OnLoss   string          // "mark" or "clear"
	Control  bool            // may do what the tray does
}

// A Hub is how to speak with a FHIRcast hub.
type Hub struct {
	URL         string
	Topic       fhircast.Secret
	TokenFile   string // see Token
	CAFile      string // "" is the system's authorities alone
	Channel     string // "websocket", or "webhook" for a hub on this host
	Name        string // with placeholders; see SubscriberName
	Events      []fhircast.Name
	Send        []fhircast.Name
	Quirks      []string // known to fhircast.Quirks; see Dialect
	SocketHosts []string // where the hub may have its sockets, besides its own host
	Test        bool     // views say TEST
}

// Dialect is what the configuration alone says of how the hub speaks: for what has to be known before the hub is asked
// about itself.
func (h Hub) Dialect() fhircast.Dialect {
	d, err := fhircast.Dialect{}.With(h.Quirks)
	if err != nil {
		return fhircast.Dialect{} // not of a Config that was loaded
	}
	return d
}

// SubscriberName is Name with {host}, {user} and {run} filled in, for subscriber.name (FHIRcast 3.0.0, 2.4.1). Run is a
// word that no other run of Castray has.
func (h Hub) SubscriberName(host, user, run string) string { return fill(h.Name, host, user, run) }

func fill(name, host, user, run string) string {
	return strings.NewReplacer("{host}", host, "{user}", user, "{run}", run).Replace(name)
}

// Token reads TokenFile, "" if there is none. A file that others may read is refused. It reads anew each time, since an
// administrator may replace the token while we run.
func (h Hub) Token() (fhircast.Secret, error) {
	if h.TokenFile == "" {
		return "", nil
	}
	return readToken(h.TokenFile)
}

// Scopes is what to ask for at a sign-in to the site: its own scopes, the reading of each event and of SyncError, and
// the writing of what apps may send; of a hub with one scope, that. `launch`, for an EHR launch, is left to the one who
// knows of the launch.
func Scopes(s Site) []string {
	var asked []string
	seen := map[string]bool{}
	add := func(scope string) {
		if !seen[scope] {
			seen[scope] = true
			asked = append(asked, scope)
		}
	}
	for _, scope := range s.Scopes {
		add(scope)
	}
	if s.Hub.Dialect().OneScope {
		add("fhircast")
		return asked
	}
	for _, event := range s.Hub.Events {
		if !event.Is(fhircast.SyncError) { // asked for below, with the right to send it
			add(fhircast.Scope{Event: event, Read: true}.String())
		}
	}
	add(fhircast.Scope{Event: fhircast.SyncError, Read: true, Write: true}.String())
	for _, event := range s.Hub.Send {
		if !event.Is(fhircast.SyncError) {
			add(fhircast.Scope{Event: event, Write: true}.String())
		}
	}
	return asked
}
