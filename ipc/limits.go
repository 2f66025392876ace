package ipc

import "time"

const (
	maxConns    = 64   // connections of one Listener
	maxHandling = 8    // messages of one connection handled at once
	maxPerSec   = 100  // messages of one connection a second; more are busy
	floodPerSec = 1000 // more end the connection
)

type verdict int

const (
	fine verdict = iota
	busy
	flood
)

// limits keeps one app from taking the agent's time from the others. A nil *limits has none.
type limits struct {
	handling chan struct{}
	second   time.Time // when the running second began; the reading goroutine owns it and count
	count    int
}

func newLimits() *limits { return &limits{handling: make(chan struct{}, maxHandling)} }

// judge counts one message.
func (l *limits) judge(now time.Time) verdict {
	if l == nil {
		return fine
	}
	if now.Sub(l.second) >= time.Second {
		l.second, l.count = now, 0
	}
	l.count++
	switch {
	case l.count > floodPerSec:
		return flood
	case l.count > maxPerSec:
		return busy
	}
	return fine
}

// enter takes one of the places for handling; false when there is none.
func (l *limits) enter() bool {
	if l == nil {
		return true
	}
	select {
	case l.handling <- struct{}{}:
		return true
	default:
		return false
	}
}

func (l *limits) leave() {
	if l != nil {
		<-l.handling
	}
}
