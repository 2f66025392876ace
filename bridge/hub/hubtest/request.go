package hubtest

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/castray/castray/bridge/fhircast"
)

// A Request is one that came, and how it was answered.
type Request struct {
	On     On
	At     time.Time
	Method string
	Path   string
	Form   url.Values      // of subscribe and unsubscribe
	Body   []byte          // of publish
	Token  fhircast.Secret // the bearer token
	Header http.Header     // without Authorization
	Status int             // 101 for a socket; 0 when the answer was lost or is not given yet
}

// An Answer is what a subscriber said on its socket: an answer to an event, or its close frame.
type Answer struct {
	Subscriber string // its subscriber.name
	ID         string
	Status     int // 0 when it gave none
	Closed     int // the code of a close frame, 1005 when it has none; 0 for anything else
	Raw        string
	At         time.Time
}

// Requests are those of a kind that came so far, in the order in which they came (of the latest 10,000); "" means all.
func (s *Server) Requests(on On) []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []Request
	for _, r := range s.requests {
		if on == "" || r.On == on {
			list = append(list, *r)
		}
	}
	return list
}

// Answers are those to events of that id so far, in the order in which they came (of the latest 10,000); "" means
// everything that subscribers said, close frames included.
func (s *Server) Answers(id string) []Answer {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []Answer
	for _, a := range s.answers {
		if id == "" || a.ID == id {
			list = append(list, a)
		}
	}
	return list
}

// ServeHTTP is the hub's, with what is set to go wrong.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxFrame))
	if err != nil {
		return
	}
	asked := request(r, body)
	wrong := s.came(asked)
	if !wait(r.Context(), wrong.Delay) {
		return
	}
	answered := func(status int) {
		s.mu.Lock()
		defer s.mu.Unlock()
		asked.Status = status
	}
	c := s.newCall(r, asked, body)
	switch {
	case wrong.Status != 0:
		wrong.write(c.answer)
	case !s.prepare(c):
	case asked.On == Connect:
		if wait(r.Context(), wrong.Late) && !wrong.Lose {
			s.connect(c, hijacker{ResponseWriter: w, server: s, answered: answered})
			return
		}
	default:
		s.Hub().ServeHTTP(c.answer, c.request())
		s.finish(c)
	}
	if !wait(r.Context(), wrong.Late) {
		return
	}
	if wrong.Lose {
		panic(http.ErrAbortHandler) // net/http breaks the line
	}
	answered(c.answer.status)
	c.answer.copyTo(w)
}

// came keeps a request and tells what is to be done with it.
func (s *Server) came(asked *Request) Reply {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = append(s.requests, asked)
	if len(s.requests) > kept {
		s.requests = s.requests[1:]
	}
	return s.armed.takeReply(asked.On)
}

// request tells the kinds of request apart by what they have.
func request(r *http.Request, body []byte) *Request {
	q := &Request{At: time.Now(), Method: r.Method, Path: r.URL.EscapedPath(), Header: r.Header.Clone()}
	_, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	q.Token = fhircast.Secret(token)
	q.Header.Del("Authorization")
	switch {
	case r.Method == http.MethodPost && strings.HasPrefix(r.Header.Get("Content-Type"), "application/x-www-form-urlencoded"):
		q.Form, _ = url.ParseQuery(string(body))
		q.On = Subscribe
		if q.Form.Get("hub.mode") == "unsubscribe" {
			q.On = Unsubscribe
		}
	case r.Method == http.MethodPost:
		q.On, q.Body = Publish, body
	case r.Header.Get("Upgrade") != "":
		q.On = Connect
	case strings.HasSuffix(r.URL.Path, "/.well-known/fhircast-configuration"):
		q.On = Discovery
	default:
		q.On = Context
	}
	return q
}

// wait tells whether the request is still wanted after so long.
func wait(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return true
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
