package ipc

import (
	"encoding/json"
	"sync"
)

// calls are our requests that wait for an answer.
type calls struct {
	mu      sync.Mutex
	last    uint64
	waiting map[uint64]func(json.RawMessage, error)
	serving bool
	drained bool
}

// add gives a request its id. False: the connection has ended and nobody would ever settle it.
func (c *calls) add(done func(json.RawMessage, error)) (uint64, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.drained {
		return 0, false
	}
	if c.waiting == nil {
		c.waiting = map[uint64]func(json.RawMessage, error){}
	}
	c.last++
	c.waiting[c.last] = done
	return c.last, true
}

// take hands the request to whoever settles it; nil when somebody has already.
func (c *calls) take(id uint64) func(json.RawMessage, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	done := c.waiting[id]
	delete(c.waiting, id)
	return done
}

// begin notes that Serve settles what is left at the end. False: Serve runs already, or the connection is over.
func (c *calls) begin() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.serving || c.drained {
		return false
	}
	c.serving = true
	return true
}

// drain takes all that still wait, once the connection has ended. One that closes the connection (serve false) leaves
// them to Serve, if that was ever called: settling them in the closer's goroutine could run into a lock that it holds.
func (c *calls) drain(serve bool) map[uint64]func(json.RawMessage, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.serving && !serve {
		return nil
	}
	c.drained = true
	all := c.waiting
	c.waiting = nil
	return all
}
