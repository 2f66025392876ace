package subscriber

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"sync"
	"time"
)

const (
	lookLimit = 5 * time.Second // for the hub to answer when it is looked after
	keptLooks = 6               // in a row on one connection, and the hub is known to keep connections
)

// life is what a callback knows of its hub besides that it calls.
type life struct {
	mu     sync.Mutex
	period time.Duration // of heartbeats; 0 while there were none
	beaten time.Time     // the last one
}

func (l *life) beat(period time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if period > 0 {
		l.period, l.beaten = min(max(period, shortestPeriod), longestPeriod), time.Now()
	}
}

// missed is for how long a hub that sends heartbeats has sent none, when that is too long.
func (l *life) missed() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if since := time.Since(l.beaten); l.period > 0 && since > 2*l.period+heartbeatMargin {
		return since
	}
	return 0
}

// write is the pulse of a channel that has no socket to ping: it asks the hub for anything, its configuration, and any
// answer will do that is not a gateway's. Where nobody is at the hub's port the hub is gone. It is gone, too, when it has
// kept a connection from one question to the next for a minute and then has not, without a word: a program that was
// started anew has forgotten us, and everything since. And it is gone when its heartbeats stay away.
//
// What this cannot see is a hub that goes on and forgets us alone. The renewal, every minute or so, mends that.
func (c *callback) write() {
	transport := &http.Transport{TLSClientConfig: tlsOver(c.hub.cfg.TLS), DialContext: c.hub.cfg.Dial, TLSHandshakeTimeout: lookLimit, MaxConnsPerHost: 1}
	defer transport.CloseIdleConnections()
	kept := 0
	tick := time.NewTicker(pingEvery)
	defer tick.Stop()
	for {
		err := c.look(sameOrigin(&http.Client{Transport: transport}), &kept)
		if missed := c.life.missed(); err == nil && missed > 0 {
			err = fmt.Errorf("no heartbeat for %v", missed/time.Second*time.Second)
		}
		if err != nil {
			c.die(err)
			return
		}
		select {
		case <-c.ctx.Done():
			return
		case <-tick.C:
		}
	}
}

var errRestarted = errors.New("the hub has ended the connection that it kept, as one does that is started anew")

// look asks once. An error says that the hub is gone; that it does not answer is only silence. kept counts how often in a
// row it was asked on the same connection.
func (c *callback) look(client *http.Client, kept *int) error {
	again := false
	ctx, cancel := context.WithTimeout(c.ctx, lookLimit)
	defer cancel()
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(info httptrace.GotConnInfo) { again = info.Reused }})
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.hub.below(".well-known", "fhircast-configuration"), nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		var op *net.OpError
		if errors.As(err, &op) && op.Op == "dial" && !op.Timeout() && c.ctx.Err() == nil {
			return clean(err, "")
		}
		if ctx.Err() != nil {
			*kept = 0 // it was us who ended the connection
		}
		return nil
	}
	_, err = io.Copy(io.Discard, io.LimitReader(resp.Body, answerLimit))
	resp.Body.Close()
	switch resp.StatusCode {
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
	default:
		c.hear()
	}
	switch {
	case again:
		*kept++
	case *kept >= keptLooks:
		return errRestarted
	default:
		*kept = 0
	}
	if resp.Close || err != nil {
		*kept = 0 // it says so
	}
	return nil
}
