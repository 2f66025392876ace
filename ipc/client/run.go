package client

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/castray/castray/ipc/protocol"
)

const (
	firstPause   = 250 * time.Millisecond
	longestPause = 15 * time.Second
	// helloTimeout is for connect and hello: an agent that runs answers in milliseconds.
	helloTimeout = 10 * time.Second
)

// Run keeps an app connected until ctx ends, and returns ctx.Err(). It gives up only when the agent refuses the app for
// good: another version, a hello that is wrong, or policy; the error is then a *protocol.Error. After a loss, and
// when there is no agent to begin with, OutOfSync is called once; after the return the agent brings the app to the
// context.
func Run(ctx context.Context, o Options) error {
	told := false
	for tries := 0; ; tries++ {
		began := time.Now()
		admitted, err := connect(ctx, o)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case forGood(err, o.ReadKey != nil):
			return err
		case !admitted && !told && o.OutOfSync != nil:
			o.OutOfSync(err)
		}
		told = true // of an admitted connection the client has told itself
		if admitted && time.Since(began) > longestPause {
			tries = 0
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause(tries)):
		}
	}
}

// connect is one connection from hello to its end.
func connect(ctx context.Context, o Options) (admitted bool, err error) {
	dialing, cancel := context.WithTimeout(ctx, helloTimeout)
	defer cancel()
	c, err := Dial(dialing, o)
	if err != nil {
		return false, err
	}
	stop := context.AfterFunc(ctx, c.Close)
	defer stop()
	return true, c.Wait()
}

// forGood tells a refusal that the next try would meet again. A key that is read anew may be taken then: an agent that
// starts listens first and writes the file afterwards.
func forGood(err error, newKey bool) bool {
	var e *protocol.Error
	if !errors.As(err, &e) {
		return false
	}
	switch e.Code {
	case protocol.CodeVersion, protocol.CodeInvalidParams, protocol.CodeInvalidRequest, protocol.CodeMethodNotFound:
		return true
	case protocol.CodeNotAllowed:
		return !newKey
	}
	return false
}

// pause doubles from try to try. Half of it is random, so that the apps of a workstation do not return all at once.
func pause(tries int) time.Duration {
	d := min(firstPause<<min(tries, 10), longestPause)
	return d/2 + rand.N(d/2)
}
