package hubtest

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"strings"

	"github.com/gorilla/websocket"

	"github.com/castray/castray/bridge/fhircast"
)

const endpointMember = "hub.channel.endpoint"

// An endpoint is what is known of one that a subscriber was told. It is guarded by the server's lock.
type endpoint struct {
	asked url.Values // the latest subscribe request, as it came
	form  url.Values // and as the hub understood it
	token string     // the header it came with
	now   string     // its path at the hub, where it may have been made anew
	used  bool       // a socket came
}

// remember keeps for whom an endpoint is. It is called with the server's lock.
func (s *Server) remember(c *call) {
	var m map[string]string
	if !c.accepted(Subscribe) || json.Unmarshal(c.answer.body.Bytes(), &m) != nil {
		return
	}
	u, err := url.Parse(m[endpointMember])
	if err != nil {
		return
	}
	known := s.endpoints[u.Path]
	if c.told != "" {
		told, _ := url.Parse(c.told)
		known = s.endpoints[told.Path]
		c.edit(func(o object) { o.set(endpointMember, c.told) })
	}
	if known == nil {
		known = &endpoint{}
		s.endpoints[u.Path] = known
	}
	known.asked, known.form, known.token, known.now = c.asked.Form, c.form, c.origin.Header.Get("Authorization"), u.Path
}

// known is the endpoint of that address or path, and whether it had a socket that has ended. The lock is held.
func (s *Server) known(address string) (e *endpoint, ended bool) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, false
	}
	e = s.endpoints[u.Path]
	if e == nil || !e.used {
		return e, false
	}
	for c := range s.sockets {
		if c.path == e.now {
			return e, false
		}
	}
	return e, true
}

// again subscribes at the hub in the name of an endpoint whose socket has ended.
func (s *Server) again(ctx context.Context, e *endpoint) {
	s.mu.Lock()
	form, token := maps.Clone(e.form), e.token
	s.mu.Unlock()
	form.Del(endpointMember)
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.URL(), strings.NewReader(form.Encode()))
	if err != nil {
		return
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Authorization", token)
	answer := &recorder{header: http.Header{}}
	s.Hub().ServeHTTP(answer, r)
	var m map[string]string
	if answer.status != http.StatusAccepted || json.Unmarshal(answer.body.Bytes(), &m) != nil {
		return // and the hub says that there is none
	}
	if u, err := url.Parse(m[endpointMember]); err == nil {
		s.mu.Lock()
		e.now, e.used = u.Path, false
		s.endpoints[u.Path] = e
		s.mu.Unlock()
	}
}

// connect lets a socket in at the hub, or where it never hears a word.
func (s *Server) connect(c *call, h hijacker) {
	h.path = c.full()
	if !c.silent {
		s.Hub().ServeHTTP(h, c.request())
		return
	}
	upgrader := websocket.Upgrader{CheckOrigin: func(*http.Request) bool { return true }}
	conn, err := upgrader.Upgrade(h, c.origin, nil)
	if err != nil {
		return
	}
	line := conn.NetConn().(*socket)
	line.silence()
	for err == nil {
		_, _, err = conn.NextReader()
	}
	line.breakOff()
}

func subscribeRows() []deviation {
	address := func(f func(*url.URL, object)) func(*call) bool {
		return func(c *call) bool {
			if !c.accepted(Subscribe) {
				return false
			}
			c.edit(func(o object) {
				if u, err := url.Parse(o.text(endpointMember)); err == nil {
					f(u, o)
				}
			})
			return true
		}
	}
	return []deviation{
		{name: EndpointPlain, help: "A subscriber is told an address without TLS (ws:).",
			after: address(func(u *url.URL, o object) { u.Scheme = "ws"; o.set(endpointMember, u.String()) })},
		{name: EndpointForeign, help: "A subscriber is told an address at another host.",
			after: address(func(u *url.URL, o object) { u.Host = elsewhere; o.set(endpointMember, u.String()) })},
		{name: EndpointMissing, help: "A subscribe is answered 202 with an empty object.",
			after: address(func(_ *url.URL, o object) { delete(o, endpointMember) })},
		{name: EndpointInHeader, help: "The endpoint comes in the header Content-Location and there is no body, as in 2020.",
			after: func(c *call) bool {
				var m map[string]string
				if !c.accepted(Subscribe) || json.Unmarshal(c.answer.body.Bytes(), &m) != nil {
					return false
				}
				c.answer.empty()
				c.answer.header.Set("Content-Location", m[endpointMember])
				return true
			}},
		{name: EndpointOutlivesSocket, help: "A closed socket does not end the subscription: its endpoint lets the next one in.",
			before: func(c *call) bool {
				address := c.full()
				switch {
				case c.asked.On == Subscribe || c.asked.On == Unsubscribe:
					address = c.form.Get(endpointMember)
				case c.asked.On != Connect:
					return false
				}
				e, ended := c.server.known(address)
				if e == nil || !ended && strings.HasSuffix(address, e.now) {
					return false
				}
				if ended {
					c.first = append(c.first, func() { c.server.again(c.origin.Context(), e) })
				}
				c.first = append(c.first, func() { c.server.translate(c, e, address) })
				return ended
			}},
		{name: OldEndpointSilent, help: "A renewal of an endpoint whose socket has ended is accepted, and so is a socket, but nothing is ever said there.",
			before: func(c *call) bool {
				switch c.asked.On {
				case Subscribe:
					address := c.form.Get(endpointMember)
					if e, ended := c.server.known(address); e != nil && ended {
						Reply{Status: http.StatusAccepted, Kind: "application/json", Body: string(raw(object{endpointMember: raw(address)}))}.write(c.answer)
					}
				case Connect:
					_, c.silent = c.server.known(c.full())
				}
				return c.silent
			}},
		{name: RenewalMovesOn, help: "A renewal gets a new endpoint, and the old socket stays.",
			before: func(c *call) bool {
				moves := c.asked.On == Subscribe && c.form.Has(endpointMember)
				if moves {
					c.form.Del(endpointMember)
				}
				return moves
			}},
		{name: ChannelTypeOptional, help: "A subscribe needs no hub.channel.type.",
			before: func(c *call) bool {
				if c.form == nil || c.form.Has("hub.channel.type") || c.form.Has("hub.callback") {
					return false
				}
				c.form.Set("hub.channel.type", "websocket")
				return true
			}},
		{name: WebhookOnly, help: "Subscribers are called back at an address of theirs; a socket is refused with 400.", made: []Fault{}, before: webhookOnly},
		{name: TopicIsURL, help: "The topic is an address, at which events are taken and the context is read, as in 2019.", made: []Fault{},
			before: func(c *call) bool { c.stripTopic(); return false },
			said: func(to *socket, n *notice) bool {
				topic := func(o object) { o.set("hub.topic", to.server.topicURL(o.text("hub.topic"))) }
				if n.event != nil {
					topic(n.event)
				} else {
					topic(n.top)
				}
				return true
			}},
	}
}

// elsewhere is a host that is not the hub's.
const elsewhere = "elsewhere.example.test"

// translate puts the hub's endpoint in place of the one that the subscriber knows.
func (s *Server) translate(c *call, e *endpoint, address string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.form == nil {
		c.path = strings.TrimPrefix(strings.TrimPrefix(e.now, s.base), "/")
		return
	}
	u, err := url.Parse(address)
	if err != nil {
		return
	}
	u.Path = e.now
	c.form.Set(endpointMember, u.String())
	c.told = address
}

// stripTopic makes an address that stands for a topic the topic again.
func (c *call) stripTopic() {
	prefix := c.server.URL() + "/"
	if c.form != nil {
		c.form.Set("hub.topic", strings.TrimPrefix(c.form.Get("hub.topic"), prefix))
	}
	if n := c.event(); n != nil {
		if topic, ok := strings.CutPrefix(n.event.text("hub.topic"), prefix); ok {
			n.event.set("hub.topic", topic)
			c.body = n.write()
		}
	}
}

func (s *Server) topicURL(topic string) string { return s.URL() + "/" + topic }

// Told is a topic as a launch names it: an address where [TopicIsURL] is set.
func (s *Server) Told(topic fhircast.Secret) fhircast.Secret {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.armed.due(TopicIsURL) {
		return fhircast.Secret(s.topicURL(topic.Reveal()))
	}
	return topic
}
