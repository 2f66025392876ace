package ipc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/castray/castray/ipc/protocol"
)

// ErrInUse is returned by Listen when a live agent serves the address. It is the one to talk to.
var ErrInUse = errors.New("an agent runs already")

// Listener accepts the apps of one user. Accept is called by one goroutine; the rest may be called from any.
type Listener struct {
	// Log hears of peers that are turned away; nil: nobody does. Set it before Accept.
	Log *slog.Logger

	raw     net.Listener
	us      Peer
	peerOf  func(net.Conn) (Peer, error)
	release func() error // gives the address back
	places  chan struct{}
	refused atomic.Int64
	closed  atomic.Bool

	closing  sync.Once
	closeErr error
}

// Listen takes an address: the path of a Unix socket, or on Windows the name of a pipe. The socket is 0600, the pipe for
// its user only. One agent serves an address: of several that start at once exactly one wins, and the others get
// ErrInUse. What a dead agent left there is dialled before it is replaced.
func Listen(address string) (*Listener, error) {
	if isWebSocket(address) {
		return nil, errors.New("listen for apps: a WebSocket is an address for apps only; give the agent a socket or pipe and set local.websocket")
	}
	us, err := self()
	if err != nil {
		return nil, fmt.Errorf("listen for apps: %w", err)
	}
	raw, release, err := listen(address)
	if err != nil {
		return nil, fmt.Errorf("listen for apps: %w", err)
	}
	return &Listener{raw: raw, us: us, peerOf: peerOf, release: release, places: make(chan struct{}, maxConns)}, nil
}

// Refused counts the peers turned away: of another user or session, or one too many; at the WebSocket also those that its
// rules refuse.
func (l *Listener) Refused() int64 { return l.refused.Load() }

// Accept waits for the next app of our user. Others are turned away, counted and logged before a byte of theirs is
// read, and so is whoever comes while 64 are connected. When ctx ends the listener is closed and ctx.Err() returned;
// after Close the error is net.ErrClosed.
func (l *Listener) Accept(ctx context.Context) (*Conn, error) {
	stop := context.AfterFunc(ctx, func() { l.Close() })
	defer stop()
	for troubled := false; ; {
		raw, err := l.raw.Accept()
		switch {
		case err == nil:
			if conn := l.admit(raw); conn != nil {
				return conn, nil
			}
			continue
		case ctx.Err() != nil:
			l.Close() // and wait until the address is given back
			return nil, ctx.Err()
		case l.closed.Load():
			return nil, net.ErrClosed
		}
		// Out of file descriptors, say. The agent must not lose its apps for good over that.
		if !troubled {
			l.log().Warn("an app could not be accepted, trying on", "error", err)
			troubled = true
		}
		select {
		case <-ctx.Done():
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// admit makes a connection of a peer that may talk to us, or turns it away.
func (l *Listener) admit(raw net.Conn) *Conn {
	peer, err := l.peerOf(raw)
	if err == nil {
		err = admit(l.us, peer)
	}
	if err != nil {
		l.turnAway(raw, peer, nil, "a peer was turned away", "error", err)
		return nil
	}
	select {
	case l.places <- struct{}{}:
	default:
		full := &protocol.Error{Code: protocol.CodeBusy, Message: "64 connections are open: close one that is not used"}
		l.turnAway(raw, peer, full, "an app was turned away, 64 are connected")
		return nil
	}
	conn := newConn(raw, peer, newLimits())
	conn.released = func() { <-l.places }
	return conn
}

// turnAway closes the connection of a peer, which is told farewell unless that is nil.
func (l *Listener) turnAway(raw net.Conn, peer Peer, farewell *protocol.Error, message string, facts ...any) {
	l.refused.Add(1)
	t := transportOf(raw, agentBuffer)
	if body, err := json.Marshal(farewell); err == nil && farewell != nil {
		// A new connection has room for one line, so this holds up nobody; and whether it arrives is the peer's concern.
		_ = (&writer{transport: t}).line(head{answer: json.RawMessage("null"), failed: true}, body)
	}
	_ = t.close(&endError{reason: message})
	peer.Release()
	l.log().Warn(message, append(facts, "user", peer.User, "session", peer.Session, "pid", peer.PID)...)
}

func (l *Listener) log() *slog.Logger {
	if l.Log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return l.Log
}

// Close stops accepting and gives the address back, unless another agent has taken it meanwhile. Connections live on.
// When it returns, whoever called it first, another agent may listen.
func (l *Listener) Close() error {
	l.closing.Do(func() {
		l.closed.Store(true)
		l.closeErr = errors.Join(l.raw.Close(), l.release())
	})
	return l.closeErr
}

// Dial connects to the agent at an address and checks that it is a process of our user before anything is sent to it.
// With the address of a WebSocket it is DialWebSocket with the key that ReadKeys finds. errors.Is(err, fs.ErrNotExist)
// holds when no agent runs there.
func Dial(ctx context.Context, address string) (*Conn, error) {
	if isWebSocket(address) {
		keys, err := ReadKeys(address)
		if err != nil {
			return nil, fmt.Errorf("connect to the agent: %w", err)
		}
		return DialWebSocket(ctx, address, keys.AppKey)
	}
	us, err := self()
	if err != nil {
		return nil, fmt.Errorf("connect to the agent: %w", err)
	}
	return dialAs(ctx, us, address)
}

func dialAs(ctx context.Context, us Peer, address string) (*Conn, error) {
	raw, err := dial(ctx, address)
	if err != nil {
		if nobodyThere(err) {
			return nil, fmt.Errorf("connect to the agent: none is running: %w", fs.ErrNotExist)
		}
		return nil, fmt.Errorf("connect to the agent: %w", err)
	}
	agent, err := serverOf(raw)
	if err == nil {
		err = trust(us, agent)
	}
	if err != nil {
		raw.Close()
		return nil, fmt.Errorf("connect to the agent: %w", err)
	}
	return newConn(raw, agent, nil), nil
}
