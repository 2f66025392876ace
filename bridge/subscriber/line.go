package subscriber

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"

	"github.com/castray/castray/bridge/fhircast"
)

const (
	pingEvery    = 10 * time.Second
	silenceLimit = 25 * time.Second // two pings and half of a third
	writeLimit   = 5 * time.Second
	closeLimit   = time.Second // for a close frame to get out, and for the hub's to come back
	mostAnswers  = 8192        // that wait to be written; a hub that takes none for so long is dead
	pongEvery    = 100 * time.Millisecond
)

// A line is one attempt at a subscription: a request, the socket it leads to, and what the hub grants on it. Its first
// group of fields is the owner's. The rest is shared with the line's reader and writer.
type line struct {
	number       int
	socket       fhircast.Secret
	subscription int              // 0 until confirmed
	dialect      fhircast.Dialect // from when it listens
	granted      []fhircast.Name
	lease        time.Duration
	since        time.Time // when it was confirmed
	held         []frame   // came before the confirmation
	heldBytes    int
	holds        bool // an event of ours waits for the confirmation
	rubbish      int  // frames that could not be parsed
	quiet        time.Duration

	ctx    context.Context // ends with the line, as a request's does
	cancel context.CancelFunc

	ws     *websocket.Conn // nil until opened
	raw    net.Conn
	unread chan struct{} // closed when the reader has ended
	born   time.Time
	heard  atomic.Int64 // when the hub was last heard, since born

	mu      sync.Mutex
	answers []fhircast.Answer
	ready   chan struct{} // says that answers has some
	reply   func(fhircast.Answer)
	pongs   chan string
	dying   error // why we ended it ourselves, if we did
}

func newLine(ctx context.Context, number int) *line {
	l := &line{number: number, quiet: silenceLimit, ready: make(chan struct{}, 1), pongs: make(chan string, 1), unread: make(chan struct{})}
	l.ctx, l.cancel = context.WithCancel(ctx)
	l.reply = l.answer // once, not for each event
	return l
}

func (l *line) hear() { l.heard.Store(int64(time.Since(l.born))) }

// silence is for how long nothing was heard.
func (l *line) silence() time.Duration { return time.Since(l.born) - time.Duration(l.heard.Load()) }

// answer queues an answer; it may be called from any goroutine and never waits.
func (l *line) answer(a fhircast.Answer) {
	if l.ctx.Err() != nil {
		return
	}
	l.mu.Lock()
	full := len(l.answers) >= mostAnswers
	if !full {
		l.answers = append(l.answers, a)
	}
	l.mu.Unlock()
	if full {
		l.die(errors.New("the hub takes no answers"))
		return
	}
	select {
	case l.ready <- struct{}{}:
	default:
	}
}

// die ends the line from within: its reader then fails, and reports why.
func (l *line) die(why error) {
	l.mu.Lock()
	if l.dying == nil {
		l.dying = why
	}
	l.mu.Unlock()
	l.raw.Close()
}

func (l *line) end(err error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.dying != nil {
		return l.dying
	}
	return clean(err, "the connection broke")
}

// write is the line's one writer: answers, pings and pongs. Each write has its deadline.
func (l *line) write() {
	ping := time.NewTicker(pingEvery)
	defer ping.Stop()
	var ponged time.Time
	var batch []fhircast.Answer
	for {
		var err error
		select {
		case <-l.ctx.Done():
			return
		case <-l.ready:
			batch, err = l.writeAnswers(batch[:0])
		case <-ping.C:
			err = l.ws.WriteControl(websocket.PingMessage, nil, time.Now().Add(writeLimit))
		case payload := <-l.pongs:
			if time.Since(ponged) < pongEvery {
				continue // a flood of pings is not worth an answer each
			}
			ponged = time.Now()
			err = l.ws.WriteControl(websocket.PongMessage, []byte(payload), time.Now().Add(writeLimit))
		}
		if err != nil && !errors.Is(err, websocket.ErrCloseSent) {
			l.die(errors.New("the hub takes nothing"))
			return
		}
	}
}

// writeAnswers writes what waits, and leaves spare to be filled meanwhile.
func (l *line) writeAnswers(spare []fhircast.Answer) ([]fhircast.Answer, error) {
	l.mu.Lock()
	answers := l.answers
	l.answers = spare
	l.mu.Unlock()
	for _, a := range answers {
		_ = l.ws.SetWriteDeadline(time.Now().Add(writeLimit))
		if err := l.ws.WriteMessage(websocket.TextMessage, l.dialect.EncodeAnswer(a)); err != nil {
			return nil, err
		}
	}
	return answers, nil
}

// hangUp closes the socket with a close frame, gives the hub a moment to answer it if polite, and ends the line. The
// code is always 1000 or 1001: any other makes a hub tell everybody else that we are lost (FHIRcast 3.0.0, 2.5.4).
func (l *line) hangUp(code int, polite bool) {
	if l.ws != nil {
		err := l.ws.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(code, ""), time.Now().Add(closeLimit))
		if err == nil && polite {
			patience := time.NewTimer(closeLimit)
			select {
			case <-l.unread:
			case <-patience.C:
			}
			patience.Stop()
		}
		l.raw.Close()
	}
	l.cancel()
}
