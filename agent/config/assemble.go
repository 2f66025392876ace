package config

import (
	"errors"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/castray/castray/bridge/fhircast"
	smart "github.com/castray/castray/oauth/scope"
)

// A builder makes one Config of what all sources said. It does no I/O.
type builder struct {
	index    *keyIndex
	settings map[string]setting   // the strongest of each key
	lists    map[string][]element // of the strongest source that has any
	levels   map[string]level     // of that source, by list
	out      Config
	pointers []pointer
	problems []string
}

// A pointer is a file that a setting points to.
type pointer struct {
	from, path, file string
	token            bool
}

// assemble puts documents together, weakest first. A list of tables is taken whole from its strongest source, so that
// the sites of a policy are all the sites there are.
func assemble(index *keyIndex, docs []*document) (*Config, []pointer, error) {
	b := &builder{index: index, settings: map[string]setting{}, lists: map[string][]element{}, levels: map[string]level{}}
	for _, d := range docs {
		b.problems = append(b.problems, d.problems...)
		for path, s := range d.settings {
			b.settings[path] = s
		}
		for name, elements := range d.lists {
			b.lists[name], b.levels[name] = elements, d.level
		}
	}
	if b.problems == nil { // what follows would only repeat them in other words
		b.choose()
		b.build()
	}
	if b.problems != nil {
		return nil, nil, errors.New(strings.Join(b.problems, "\n"))
	}
	return &b.out, b.pointers, nil
}

func (b *builder) problem(from, path, what string) {
	b.problems = append(b.problems, from+": "+path+": "+what)
}

func (b *builder) warn(from, path, what string) {
	b.out.Warnings = append(b.out.Warnings, from+": "+path+": "+what)
}

// choose settles whether we sign in ([[site]]) or join a hub that needs no sign-in ([hub] url, topic). Of two sources
// the stronger is meant, so a file given with --config works on a machine that has sites. One source cannot mean both.
func (b *builder) choose() {
	var joins []string
	strongest := byDefault
	for _, path := range []string{"hub.url", "hub.topic", "hub.token_file"} {
		if s, ok := b.settings[path]; ok && s.value != "" {
			joins = append(joins, path)
			strongest = max(strongest, s.level)
		}
	}
	sites := b.lists["site"]
	if len(sites) == 0 || len(joins) == 0 {
		return
	}
	switch first := b.settings[joins[0]]; {
	case strongest == b.levels["site"]:
		b.problem(first.from, joins[0], "[hub] is joined without sign-in, so there can be no [[site]] (at "+sites[0].from+"); for one site write it under [site.hub]")
	case strongest > b.levels["site"]:
		b.warn(sites[0].from, "site", "without effect, since "+joins[0]+" at "+first.from+" is stronger")
		b.lists["site"] = nil
	default:
		for _, path := range joins {
			b.warn(b.settings[path].from, path, "without effect, since the [[site]] at "+sites[0].from+" is stronger")
			delete(b.settings, path)
		}
	}
}

func (b *builder) build() {
	c := &b.out
	top := scope{b: b}
	if len(b.lists["site"]) == 0 && (top.text("hub.url") != "" || top.text("hub.topic") != "" || top.text("hub.token_file") != "") {
		c.Hub = b.hub(top, "hub.")
	}
	for i := range b.lists["site"] {
		c.Sites = append(c.Sites, b.site(scope{b: b, element: &b.lists["site"][i]}))
	}
	for i := range b.lists["app"] {
		b.app(scope{b: b, element: &b.lists["app"][i]})
	}
	c.Local.AnswerWithin = top.value("local.answer_within").(time.Duration)
	c.Local.UnknownApps = top.text("local.unknown_apps")
	c.Local.WebSocket = top.value("local.websocket").(bool)
	c.Local.WebSocketPort = int(top.value("local.websocket_port").(int64))
	c.Local.Origins = top.texts("local.origins")
	c.Local.Endpoint = top.value("local.endpoint").(bool)
	c.Local.EndpointPort = int(top.value("local.endpoint_port").(int64))
	c.Session.Shared = top.value("session.shared").(bool)
	c.Session.RefuseMemoryOnly = top.text("session.memory_only") == "refuse"
	b.checkShared(top)
	b.launch(top)
	c.Log.Level.UnmarshalText([]byte(top.text("log.level"))) // the table allows slog's own words only
	b.checkUnbuilt()
	b.listOrigins()
}

// A scope looks settings up: in one element of a list, or in the tables there is one of.
type scope struct {
	b       *builder
	element *element
}

// get finds the strongest setting of a key: what somebody wrote, else what the preset of that hub says, else the default.
func (s scope) get(path string) setting {
	if given, ok := s.given(path); ok {
		return given
	}
	k := s.b.index.keys[path]
	if p := s.preset(path); p != nil {
		if says, ok := p.setting(k); ok {
			return says
		}
	}
	def, err := k.parse(k.def)
	if err != nil {
		panic("config: the default of " + path + " is none: " + err.Error())
	}
	return setting{value: def, from: "default"}
}

// given is what somebody wrote. What a [site.hub] does not say, or a stronger source says of [hub], comes from [hub]: a
// policy about the hub holds at every site.
func (s scope) given(path string) (setting, bool) {
	if s.element == nil {
		given, ok := s.b.settings[path]
		return given, ok
	}
	var found setting
	any := false
	if below, ok := strings.CutPrefix(path, subHub+"."); ok && below != "url" && below != "topic" && below != "token_file" {
		found, any = s.b.settings["hub."+below]
	}
	if given, ok := s.element.settings[path]; ok && given.level >= found.level {
		return given, true
	}
	return found, any
}

// preset is the one that holds for a key of [hub] or [site.hub], nil if none does.
func (s scope) preset(path string) *preset {
	at := path[:strings.LastIndexByte(path, '.')]
	if at != "hub" && at != subHub || path == at+".preset" {
		return nil
	}
	return findPreset(s.text(at + ".preset"))
}

func (s scope) value(path string) any   { return s.get(path).value }
func (s scope) text(path string) string { return s.value(path).(string) }
func (s scope) texts(path string) []string {
	return slices.Clone(s.value(path).([]string))
}

// where is the place to complain about a key: its own, or that of the [[site]] that lacks it.
func (s scope) where(path string) string {
	from := s.get(path).from
	switch {
	case from == "default" && s.element != nil:
		return s.element.from
	case from == fromPreset:
		return s.get(path[:strings.LastIndexByte(path, '.')] + ".preset").from
	}
	return from
}

// file is the value of a key that names a file, which will be looked at.
func (s scope) file(path string) string {
	name := s.text(path)
	p := pointer{s.where(path), path, name, strings.HasSuffix(path, "token_file")}
	if name != "" && !slices.ContainsFunc(s.b.pointers, func(o pointer) bool { return o.from == p.from && o.file == p.file }) {
		s.b.pointers = append(s.b.pointers, p)
	}
	return name
}

// names are event names as FHIRcast 3.0.0 spells them, each once.
func (s scope) names(path string) []fhircast.Name {
	var names []fhircast.Name
	for _, entry := range s.texts(path) {
		if n := fhircast.Name(entry).Canonical(); !n.In(names) {
			names = append(names, n)
		}
	}
	return names
}

// hub reads [hub] (at "hub.") or [site.hub] (at "site.hub.").
func (b *builder) hub(s scope, at string) Hub {
	h := Hub{
		URL:         s.text(at + "url"),
		Topic:       fhircast.Secret(s.text(at + "topic")),
		TokenFile:   s.file(at + "token_file"),
		CAFile:      s.file(at + "ca_file"),
		Channel:     s.text(at + "channel"),
		Name:        s.text(at + "name"),
		Events:      s.names(at + "events"),
		Send:        s.names(at + "send"),
		Quirks:      append([]string(nil), s.texts(at+"quirks")...),
		SocketHosts: append([]string(nil), s.texts(at+"socket_hosts")...),
		Test:        s.value(at + "test").(bool),
	}
	b.checkPreset(s, at, h)
	if h.Channel == "websocket" && h.Dialect().NoSocket {
		b.warn(s.where(at+"quirks"), at+"quirks", `a hub of this version has no channel but the webhook: set channel = "webhook" if it is on this host; no event will come otherwise`)
	}
	if h.URL != "" {
		b.verify(s, at+"url", checkURL(h.URL, h.Test))
	}
	switch {
	case at != "hub.":
		if h.TokenFile != "" {
			b.problem(s.where(at+"token_file"), at+"token_file", "a site's hub is spoken to with the sign-in of the site")
		}
	case h.URL == "":
		b.problem(b.joinPlace(), at+"url", "is needed to join a hub without sign-in")
	case h.Topic == "":
		b.problem(b.joinPlace(), at+"topic", "is needed to join a hub without sign-in; to sign in, write a [[site]] instead")
	}
	return h
}

// joinPlace is where a source began to tell of a hub without sign-in.
func (b *builder) joinPlace() string {
	for _, path := range []string{"hub.url", "hub.topic", "hub.token_file"} {
		if s, ok := b.settings[path]; ok && s.value != "" {
			return s.from
		}
	}
	return "default"
}

func (b *builder) verify(s scope, path string, err error) {
	if err != nil {
		b.problem(s.where(path), path, err.Error())
	}
}

// app adds a rule.
func (b *builder) app(s scope) {
	a := App{
		Name:     s.text("app.name"),
		Exe:      s.text("app.exe"),
		SHA256:   strings.ToLower(s.text("app.sha256")),
		Events:   s.names("app.events"),
		Send:     s.names("app.send"),
		Required: s.text("app.required"),
		OnLoss:   s.text("app.on_loss"),
		Control:  s.value("app.control").(bool),
	}
	if a.Name == "" {
		b.problem(s.where("app.name"), "app.name", "is needed")
	}
	if a.Exe == "" && a.SHA256 == "" {
		b.problem(s.where("app.exe"), "app.exe", "or app.sha256 is needed: a name alone is what anybody can say")
	}
	for _, other := range b.out.Apps {
		if strings.EqualFold(other.Name, a.Name) {
			b.problem(s.where("app.name"), "app.name", "another [[app]] has this name")
		}
	}
	b.out.Apps = append(b.out.Apps, a)
}

func (b *builder) site(s scope) Site {
	site := Site{
		Name:     s.text("site.name"),
		FHIRURL:  s.text("site.fhir_url"),
		ClientID: s.text("site.client_id"),
		Auth:     s.text("site.auth"),
		Scopes:   smart.Restyle(s.texts("site.scopes"), s.text("site.scope_style")),
		Redirect: s.text("site.redirect"),
		CAFile:   s.file("site.ca_file"),
		Hub:      b.hub(s, subHub+"."),

		IDTokenAlgs: append([]string(nil), s.texts("site.id_token_algs")...),
		PlainBasic:  s.text("site.secret_encoding") == "plain",
		Authorize:   append([]string(nil), s.texts("site.authorize")...),
	}
	if site.FHIRURL == "" {
		b.problem(s.where("site.fhir_url"), "site.fhir_url", "is needed")
		return site
	}
	if err := checkBase(site.FHIRURL, site.Hub.Test); err != nil {
		b.verify(s, "site.fhir_url", err)
		return site
	}
	if site.ClientID == "" {
		b.problem(s.where("site.client_id"), "site.client_id", "is needed")
	}
	if site.Name == "" {
		if u, err := url.Parse(site.FHIRURL); err == nil {
			site.Name = u.Hostname()
		}
	}
	for _, other := range b.out.Sites {
		switch {
		case sameBase(other.FHIRURL) == sameBase(site.FHIRURL):
			b.problem(s.where("site.fhir_url"), "site.fhir_url", "another [[site]] has this address")
		case strings.EqualFold(other.Name, site.Name):
			b.problem(s.where("site.name"), "site.name", "another [[site]] has this name")
		}
	}
	return site
}
