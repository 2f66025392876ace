package hub

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/gorilla/websocket"

	"github.com/castray/castray/bridge/fhircast"
)

const (
	closeNormal        = websocket.CloseNormalClosure
	closeGoingAway     = websocket.CloseGoingAway
	closePolicy        = websocket.ClosePolicyViolation
	closeTryAgainLater = websocket.CloseTryAgainLater

	pingEvery   = 10 * time.Second
	silence     = 25 * time.Second // without any frame, pongs included, a line is dead
	writeWithin = 5 * time.Second  // of one frame, and of the peer's part in closing
	noAnswer    = "no answer within 10 s"
	maxAnswer   = 64 << 10 // bytes of a frame from a subscriber, whose frames are answers
)

func (h *Hub) endpoint(last string) fhircast.Secret {
	u := *h.base
	u.Scheme = map[string]string{"http": "ws", "https": "wss"}[u.Scheme]
	return fhircast.Secret(u.JoinPath("ws", last).String())
}

// connect is the WebSocket of a subscription, which comes once and in time (FHIRcast 3.0.0, 2.4).
func (h *Hub) connect(w http.ResponseWriter, r *http.Request, endpoint fhircast.Secret) error {
	if !websocket.IsWebSocketUpgrade(r) {
		w.Header().Set("Upgrade", "websocket")
		return refuse(426, "only a WebSocket here")
	}
	s, err := h.claim(endpoint)
	if err != nil {
		return err
	}
	defer h.sockets.Done()
	upgrader := websocket.Upgrader{HandshakeTimeout: writeWithin, CheckOrigin: func(*http.Request) bool { return true }}
	conn, err := upgrader.Upgrade(w, r, nil)
	if err != nil {
		h.unclaim(s)
		return nil // answered by the upgrader, or the line is broken
	}
	defer conn.Close()
	// The request's context must not end this: a hijacked connection is ours.
	h.greet(context.WithoutCancel(r.Context()), s)
	h.introduce(s)
	read := make(chan struct{}) // closed when the reader has ended
	written := make(chan struct{})
	go func() {
		defer close(written)
		h.write(s, conn, read)
	}()
	code := h.read(s, conn)
	h.mu.Lock()
	switch code {
	case closeNormal, closeGoingAway:
		h.drop(s, ending{reason: "has left"})
	default:
		h.lost(s, nil, "connection lost", ending{now: true})
	}
	h.mu.Unlock()
	close(read)
	<-written
	h.seeOff(s)
	return nil
}

func (h *Hub) claim(endpoint fhircast.Secret) (*subscription, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := h.endpoints[endpoint]
	switch {
	case h.closed:
		return nil, refuse(503, "the hub is closing")
	case s == nil:
		return nil, refuse(404, "no subscription has this endpoint")
	case s.connected:
		return nil, refuse(409, "the endpoint has its socket already")
	case !time.Now().Before(s.connectBy):
		h.drop(s, ending{})
		return nil, refuse(404, "the endpoint was not used in time; subscribe again")
	}
	s.connected = true
	h.sockets.Add(1)
	return s, nil
}

func (h *Hub) unclaim(s *subscription) {
	h.mu.Lock()
	defer h.mu.Unlock()
	s.connected = false
}

// greet queues the confirmation and what a new subscriber has to know; in one step, so that no event comes before it or
// is missed in between.
func (h *Hub) greet(ctx context.Context, s *subscription) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.welcome(ctx, s)
}

// welcome does what greet says, under the lock.
func (h *Hub) welcome(ctx context.Context, s *subscription) {
	session, r, err := h.session(ctx, s.room.topic)
	if err != nil || s.end != nil {
		h.drop(s, ending{deny: true, reason: "the session has ended", code: closeNormal})
		return
	}
	s.since, s.confirmed = time.Now(), true
	h.confirm(s)
	if s.end != nil {
		return
	}
	r.note(Entry{What: "subscribed", Subscriber: s.name})
	h.config.Log.Info("subscribed", "subscriber", s.name, "events", len(s.events))
	for _, e := range session.initial() {
		if s.wants(e.Name) {
			h.sendEvent(s, e, e)
		}
	}
	if e := session.Current; h.config.Rules.Derive && e != nil && !s.wants(e.Name) {
		h.sendDerived(s, e, derive(e))
	}
}

// read takes answers until the socket ends, and gives its close code: 1006 for a line that broke or fell silent.
func (h *Hub) read(s *subscription, conn *websocket.Conn) int {
	alive := func() { _ = conn.SetReadDeadline(time.Now().Add(silence)) }
	conn.SetReadLimit(maxAnswer)
	conn.SetPongHandler(func(string) error { alive(); return nil })
	conn.SetPingHandler(func(data string) error {
		alive()
		_ = conn.WriteControl(websocket.PongMessage, []byte(data), time.Now().Add(time.Second))
		return nil
	})
	for {
		alive()
		kind, frame, err := conn.ReadMessage()
		if err != nil {
			if closed, ok := errors.AsType[*websocket.CloseError](err); ok {
				return closed.Code
			}
			return websocket.CloseAbnormalClosure
		}
		if kind == websocket.TextMessage {
			if m, err := fhircast.Decode(frame); err == nil {
				if a, ok := m.(*fhircast.Answer); ok {
					h.answered(s, a)
					continue
				}
			}
		}
		h.mu.Lock()
		s.room.note(Entry{What: "unreadable", Subscriber: s.name})
		h.mu.Unlock()
	}
}

// write sends what is queued, pings, and keeps the times of a subscription, until the reader has ended. A frame that
// cannot be written breaks the line, which ends the reader.
func (h *Hub) write(s *subscription, conn *websocket.Conn, read <-chan struct{}) {
	ping := time.NewTicker(pingEvery)
	defer ping.Stop()
	for {
		o, wait, end := h.next(s)
		if o.frame != nil {
			_ = conn.SetWriteDeadline(time.Now().Add(writeWithin))
			if conn.WriteMessage(websocket.TextMessage, o.frame) != nil {
				conn.Close()
				<-read
				return
			}
			if o.written != nil {
				close(o.written)
			}
			continue
		}
		if end != nil {
			finish(conn, end, read)
			return
		}
		timer := time.NewTimer(wait)
		select {
		case <-s.wake:
		case <-timer.C:
		case <-ping.C:
			_ = conn.WriteControl(websocket.PingMessage, nil, time.Now().Add(writeWithin))
		case <-read:
		}
		timer.Stop()
	}
}

// finish closes with the ending's code and gives the peer a moment to do the same.
func finish(conn *websocket.Conn, end *ending, read <-chan struct{}) {
	if end.code != 0 {
		_ = conn.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(end.code, ""), time.Now().Add(writeWithin))
		timer := time.NewTimer(writeWithin)
		defer timer.Stop()
		select {
		case <-read:
		case <-timer.C:
		}
	}
	conn.Close()
	<-read
}

// next is what the writer has to do: write a frame, or wait that long, or end.
func (h *Hub) next(s *subscription) (o outgoing, wait time.Duration, end *ending) {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := time.Now()
	switch {
	case s.end != nil:
	case !now.Before(s.until):
		h.drop(s, ending{deny: true, reason: "the lease has ended", code: closeNormal})
	case len(s.waiting) > 0 && !now.Before(s.waiting[0].by):
		h.lost(s, s.waiting[0].about, noAnswer, ending{deny: true, code: closePolicy})
	}
	if len(s.queue) > 0 {
		o := s.queue[0]
		s.queue = s.queue[1:]
		if o.about != nil && h.reportable(o.about.Name) {
			s.latest = o.about
			if s.end == nil {
				s.waiting = append(s.waiting, delivery{o.id, o.about, now.Add(answerWithin)})
			}
		}
		return o, 0, nil
	}
	if s.end != nil {
		if s.end.deny && s.callback == nil {
			s.end.deny = false
			return outgoing{frame: denial(s.room.topic, s.events, s.end.reason)}, 0, nil
		}
		return outgoing{}, 0, s.end
	}
	wait = s.until.Sub(now)
	if len(s.waiting) > 0 {
		wait = min(wait, s.waiting[0].by.Sub(now))
	}
	return outgoing{}, wait, nil
}
