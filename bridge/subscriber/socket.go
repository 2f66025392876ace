package subscriber

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"github.com/castray/castray/bridge/fhircast"
)

const (
	writeLimit  = 5 * time.Second
	mostAnswers = 8192 // that wait to be written; a hub that takes none for so long is dead
	pongEvery   = 100 * time.Millisecond
)

// A socketChannel is a WebSocket of the hub's.
type socketChannel struct {
	pulse
	ctx     context.Context // of its line
	ws      *websocket.Conn
	raw     net.Conn
	dialect fhircast.Dialect
	unread  chan struct{} // closed when the reader has ended

	mu      sync.Mutex
	answers []fhircast.Answer
	ready   chan struct{} // says that answers has some
	reply   func(fhircast.Answer)
	pongs   chan string
	dying   error // why we ended it ourselves, if we did
}

func newSocketChannel(ctx context.Context, ws *websocket.Conn, raw net.Conn, d fhircast.Dialect) *socketChannel {
	s := &socketChannel{pulse: pulse{born: time.Now()}, ctx: ctx, ws: ws, raw: raw, dialect: d,
		ready: make(chan struct{}, 1), pongs: make(chan string, 1), unread: make(chan struct{})}
	s.reply = s.answer // once, not for each event
	return s
}

// answer queues an answer; it may be called from any goroutine and never waits. Without an id it would answer nothing.
func (s *socketChannel) answer(a fhircast.Answer) {
	if a.ID == "" || s.ctx.Err() != nil {
		return
	}
	s.mu.Lock()
	full := len(s.answers) >= mostAnswers
	if !full {
		s.answers = append(s.answers, a)
	}
	s.mu.Unlock()
	if full {
		s.die(errors.New("the hub takes no answers"))
		return
	}
	select {
	case s.ready <- struct{}{}:
	default:
	}
}

// die ends the channel from within: its reader then fails, and reports why.
func (s *socketChannel) die(why error) {
	s.mu.Lock()
	if s.dying == nil {
		s.dying = why
	}
	s.mu.Unlock()
	s.raw.Close()
}

func (s *socketChannel) end(err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.dying != nil {
		return s.dying
	}
	return clean(err, "the connection broke")
}

// write is the one writer: answers, pings and pongs. Each write has its deadline.
func (s *socketChannel) write() {
	ping := time.NewTicker(pingEvery)
	defer ping.Stop()
	var ponged time.Time
	var batch []fhircast.Answer
	for {
		var err error
		select {
		case <-s.ctx.Done():
			return
		case <-s.ready:
			batch, err = s.writeAnswers(batch[:0])
		case <-ping.C:
			err = s.ws.WriteControl(websocket.PingMessage, nil, time.Now().Add(writeLimit))
		case payload := <-s.pongs:
			if time.Since(ponged) < pongEvery {
				continue // a flood of pings is not worth an answer each
			}
			ponged = time.Now()
			err = s.ws.WriteControl(websocket.PongMessage, []byte(payload), time.Now().Add(writeLimit))
		}
		if err != nil && !errors.Is(err, websocket.ErrCloseSent) {
			s.die(errors.New("the hub takes nothing"))
			return
		}
	}
}

// writeAnswers writes what waits, and leaves spare to be filled meanwhile.
func (s *socketChannel) writeAnswers(spare []fhircast.Answer) ([]fhircast.Answer, error) {
	s.mu.Lock()
	answers := s.answers
	s.answers = spare
	s.mu.Unlock()
	for _, a := range answers {
		_ = s.ws.SetWriteDeadline(time.Now().Add(writeLimit))
		if err := s.ws.WriteMessage(websocket.TextMessage, s.dialect.EncodeAnswer(a)); err != nil {
			return nil, err
		}
	}
	return answers, nil
}

// bye closes with a close frame, and gives the hub a moment to answer it if polite.
func (s *socketChannel) bye(code int, polite bool) {
	err := s.ws.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(code, ""), time.Now().Add(closeLimit))
	if err == nil && polite {
		patience := time.NewTimer(closeLimit)
		select {
		case <-s.unread:
		case <-patience.C:
		}
		patience.Stop()
	}
	s.raw.Close()
}
