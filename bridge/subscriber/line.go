package subscriber

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/castray/castray/bridge/fhircast"
)

const (
	pingEvery    = 10 * time.Second
	silenceLimit = 25 * time.Second // two pings and half of a third
	closeLimit   = time.Second      // for a goodbye to get out, and for the hub's to come back
)

// A line is one attempt at a subscription: a request, the channel it leads to, and what the hub grants on it. All but
// the channel is the owner's.
type line struct {
	number       int
	at           place // where the hub reaches us, as far as it is agreed
	subscription int   // 0 until confirmed
	granted      []fhircast.Name
	lease        time.Duration
	born         time.Time // when its channel was open
	since        time.Time // when it was confirmed
	held         []frame   // came before the confirmation
	heldBytes    int
	holds        bool // an event of ours waits for the confirmation
	rubbish      int  // frames that could not be parsed
	quiet        time.Duration

	ctx    context.Context // ends with the line, as a request's does
	cancel context.CancelFunc

	channel channel // nil until opened
}

// A place is where a hub's events arrive. The zero value is nowhere yet.
type place struct {
	socket   fhircast.Secret // of the hub
	callback *callback       // of ours
}

// A channel is how frames come and answers go: the hub.channel of FHIRcast. One goroutine reads, one writes, and any may
// do the rest.
type channel interface {
	// read hands each frame to take, in their order, and returns why the channel ended.
	read(take func(frame)) error
	// write sends what there is to send, and asks for signs of life, until the line ends.
	write()
	// silence is for how long the hub was not heard.
	silence() time.Duration
	// bye takes leave, waits a moment for the hub to do so too if polite, and closes. The code is that of a socket: 1000
	// or 1001, for any other makes a hub tell everybody else that we are lost (FHIRcast 3.0.0, 2.5.4).
	bye(code int, polite bool)
}

func newLine(ctx context.Context, number int) *line {
	l := &line{number: number, quiet: silenceLimit}
	l.ctx, l.cancel = context.WithCancel(ctx)
	return l
}

// hangUp takes leave of the hub, if there is a channel, and ends the line.
func (l *line) hangUp(code int, polite bool) {
	if l.channel != nil {
		l.channel.bye(code, polite)
	}
	l.cancel()
}

// A pulse is when the hub was last heard. The zero value is never.
type pulse struct {
	born time.Time
	last atomic.Int64 // since born
}

func (p *pulse) hear() { p.last.Store(int64(time.Since(p.born))) }

func (p *pulse) silence() time.Duration { return time.Since(p.born) - time.Duration(p.last.Load()) }
