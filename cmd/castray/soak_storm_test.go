//go:build linux

package main

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/castray/castray/ipc/protocol"
)

// TestSoakStorm sends updates of 10 KB, a thousand a second for a minute, to ten apps that keep up. None may be lost,
// doubled or out of order at any app, each has its answer within 1 s, and the agent's memory stays bounded. That is with
// the machine to itself. With the race detector, or in a part of the soak beside other tests, it is a hundred a second and
// the hub's 10 s: anything else would be a test of the processors.
//
// FM-18
func TestSoakStorm(t *testing.T) {
	const apps, size = 10, 10 << 10
	rate, lasts, within := 1000, time.Minute*time.Duration(soakPercent(t))/100, time.Second
	if soakRace || soakPercent(t) < 100 {
		rate, within = 100, 10*time.Second // the hub's own limit
	}
	w := newSoakWorld(t, 1)
	w.startAgent()
	var storms []*stormApp
	for n := range apps {
		a := newStormApp(w, fmt.Sprintf("viewer-%d", n))
		defer a.leave()
		storms = append(storms, a)
	}
	w.whole(20 * time.Second)
	w.order(soakOrder{Do: "open", Patient: "p-1"})
	for _, a := range storms {
		a.await(&a.settled, 1) // an update that comes while the agent still reads the context is in what it reads
	}
	idle, agentWork, hubWork := w.agent.resident(), w.agent.work(), w.hub.work()
	s := w.order(soakOrder{Do: "storm", Rate: rate, Lasts: lasts, Size: size})
	for _, a := range storms {
		a.await(&a.got, s.Sent)
	}
	most, agentWork, hubWork := w.agent.peak(), w.agent.work()-agentWork, w.hub.work()-hubWork
	for _, a := range storms {
		got, wrong := a.got.Load(), a.wrong.Load()
		if wrong != nil {
			t.Errorf("%s: %s", a.name, *wrong)
		}
		if int(got) != s.Sent {
			t.Errorf("%s got %d of %d events in order; the agent says:\n%s", a.name, got, s.Sent, w.agent.log)
		}
	}
	if s.Answered != s.Sent || s.Worst > within {
		t.Errorf("of %d events %d were answered, one after %v", s.Sent, s.Answered, s.Worst)
	}
	if pace := float64(s.Sent) / s.Lasted.Seconds(); pace < 0.9*float64(rate) && within == time.Second {
		t.Errorf("the hub got %.0f events a second out, want %d: this was no storm", pace, rate)
	}
	if more := most - idle; more > 64<<20 && !soakRace {
		t.Errorf("the agent grew from %d to %d MB", idle>>20, most>>20)
	}
	soakResult{
		What: "a storm of updates of 10 KB", HowMuch: fmt.Sprintf("%d a second for %v, %d apps", rate, lasts, apps),
		Result: fmt.Sprintf("%d of %d at every app, in order; all answered", s.Sent, s.Sent),
		Measured: []string{fmt.Sprintf("answers: p99 %v, worst %v", s.P99.Round(time.Millisecond/10), s.Worst.Round(time.Millisecond/10)),
			fmt.Sprintf("the agent's memory: %d MB before, at most %d MB", idle>>20, most>>20),
			fmt.Sprintf("the agent used %.2f of a processor, the hub %.2f", agentWork.Seconds()/s.Lasted.Seconds(), hubWork.Seconds()/s.Lasted.Seconds())},
	}.tell(t)
}

// A stormApp reads lines and answers each event 200, with as little work as there can be. It counts the storm's events as
// long as each is the next.
type stormApp struct {
	*testing.T
	name    string
	conn    net.Conn
	ended   chan struct{}
	got     atomic.Int64           // events of the storm
	settled atomic.Int64           // how often it was told that all is in sync
	wrong   atomic.Pointer[string] // the first event that was not the next
}

// newStormApp joins as soon as there is an agent.
func newStormApp(w *soakWorld, name string) *stormApp {
	a := &stormApp{T: w.T, name: name, ended: make(chan struct{})}
	for deadline := time.Now().Add(20 * time.Second); ; soakPause(10 * time.Millisecond) {
		var err error
		if a.conn, err = net.Dial("unix", w.address); err == nil {
			break
		}
		if time.Now().After(deadline) {
			w.Fatalf("%v; the agent says:\n%s", err, w.agent.log)
		}
	}
	_, err := fmt.Fprintf(a.conn, `{"jsonrpc":"2.0","id":1,"method":"hello","params":{"protocol":1,"name":%q,"answers":true}}`+"\n", name)
	benchCheck(w, err)
	go a.follow()
	return a
}

func (a *stormApp) leave() {
	a.conn.Close()
	<-a.ended
}

// await waits until so many are counted, or none has been for 5 s.
func (a *stormApp) await(count *atomic.Int64, n int) {
	for last, quiet := int64(0), time.Now(); int(count.Load()) < n && time.Since(quiet) < 5*time.Second; soakPause(10 * time.Millisecond) {
		if is := count.Load(); is > last {
			last, quiet = is, time.Now()
		}
	}
}

func (a *stormApp) follow() {
	defer close(a.ended)
	in := bufio.NewReaderSize(a.conn, 64<<10)
	for {
		line, err := in.ReadSlice('\n')
		if err != nil {
			return
		}
		switch head := line[:min(len(line), 60)]; {
		case bytes.Contains(head, []byte(`"method":"status"`)):
			if phase, _ := between(line, `"phase":"`, '"'); phase == string(protocol.PhaseInSync) {
				a.settled.Add(1)
			}
			continue
		case !bytes.Contains(head, []byte(`"method":`)):
			continue
		}
		if id, ok := between(line, `"id":"storm-`, '"'); ok {
			if want := fmt.Sprint(a.got.Load()); id == want {
				a.got.Add(1)
			} else if a.wrong.Load() == nil {
				said := fmt.Sprintf("after %s events came the one of number %s", want, id)
				a.wrong.Store(&said)
			}
		}
		if id, ok := between(line, `"jsonrpc":"2.0","id":`, ','); ok {
			if _, err := fmt.Fprintf(a.conn, `{"jsonrpc":"2.0","id":%s,"result":{"status":200}}`+"\n", id); err != nil {
				return
			}
		}
	}
}

// between is the text after a mark, up to an end.
func between(line []byte, mark string, end byte) (text string, ok bool) {
	_, after, ok := bytes.Cut(line, []byte(mark))
	if !ok {
		return "", false
	}
	n := bytes.IndexByte(after, end)
	if n < 0 {
		return "", false
	}
	return string(after[:n]), true
}
