//go:build linux

package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"
)

var (
	benchProgram = flag.String("castray", "", "the program to measure instead of a fresh build")
	benchPage    = flag.String("page", "", "write the table into this page, between its two marks")
)

const (
	benchRepeats = 3
	benchGap     = time.Millisecond
	benchQuiet   = 60 * time.Second // after a burst, before memory is looked at again
	benchIdle    = 30 * time.Second // of which so long the processor time is counted
)

// BenchmarkRelay measures the whole way of an event, from a hub's write through the real agent to an app's read, against
// a raw relay in the same run, and what the agent costs when nothing happens. docs/performance.md tells how to read it.
func BenchmarkRelay(b *testing.B) {
	dir := b.TempDir()
	castray, relaybench := buildBench(b, dir)
	if *benchProgram != "" {
		castray = *benchProgram
	}
	m := &benchResult{latency: map[int]*benchLatency{}, burst: map[int]*benchBurst{}}
	m.size, m.rawSize = benchFileSize(b, castray), benchFileSize(b, relaybench)
	hub := startBenchHub(b, dir)
	for n := range benchRepeats {
		w := startBenchWorld(b, hub, castray, relaybench, filepath.Join(dir, fmt.Sprint(n)))
		w.idle(b, m)
		for _, s := range benchSizes {
			w.latency(b, m.sized(s.bytes), s.bytes, s.events)
		}
		for _, s := range benchSizes {
			w.burst(b, m.burstOf(s.bytes), s.bytes, s.events)
		}
		if n == benchRepeats-1 {
			w.quiet(b, m)
		}
		w.end(b)
	}
	benchStarts(b, m, hub, castray, relaybench, dir)
	benchKeychainStarts(b, m, castray, relaybench, dir)
	table := m.table(castray)
	fmt.Print("\n", table)
	if *benchPage != "" {
		writeBenchPage(b, *benchPage, table)
	}
	b.ReportMetric(m.latency[10<<10].ratio(), "x-raw/10KB")
	b.ReportMetric(0, "ns/op")
}

// benchSizes are the sizes of events, and how many go each way.
var benchSizes = []struct{ bytes, events int }{{1 << 10, 1000}, {10 << 10, 1000}, {100 << 10, 300}}

// A benchWorld is an agent, a raw relay and an app that reads from both, at one hub.
type benchWorld struct {
	hub                    *benchHub
	agent, raw, app        *benchProcess
	agentSocket, rawSocket *benchSocket
}

func startBenchWorld(b *testing.B, hub *benchHub, castray, relaybench, dir string) *benchWorld {
	benchCheck(b, os.Mkdir(dir, 0o700))
	w := &benchWorld{hub: hub}
	local, raw := filepath.Join(dir, "s"), filepath.Join(dir, "r")
	w.raw = startBench(b, nil, relaybench, "raw", "wss"+hub.base[len("https"):]+"/raw", hub.ca, raw)
	w.agent = startBench(b, nil, castray, benchRun(b, hub, dir, local)...)
	w.app = startBench(b, nil, relaybench, "app", local, raw)
	w.agentSocket, w.rawSocket = hub.socket(b, "agent"), hub.socket(b, "raw")
	for _, letter := range []string{"a", "b"} { // until the app has it, the agent is not settled
		for tries := 0; ; tries++ {
			e := newBenchEvent(1<<10, "open", letter)
			benchCheck(b, e.send(w.agentSocket, func(int64) {}))
			benchCheck(b, e.send(w.rawSocket, func(int64) {}))
			if got := w.app.await(b, time.Second, 1, 1); len(got[0].Ages) > 0 && len(got[1].Ages) > 0 {
				break
			}
			if tries == 20 {
				b.Fatalf("no event comes through; the agent says:\n%s", w.agent.log)
			}
		}
	}
	return w
}

// benchRun is the command line of an agent that joins the hub, and the files it needs.
func benchRun(b *testing.B, hub *benchHub, dir, socket string) []string {
	token, file := filepath.Join(dir, "token"), filepath.Join(dir, "castray.toml")
	benchCheck(b, os.WriteFile(token, []byte(benchToken+"\n"), 0o600))
	benchCheck(b, os.WriteFile(file, fmt.Appendf(nil, "[hub]\nurl = %q\ntopic = %q\ntoken_file = %q\nca_file = %q\ntest = true\n"+
		"events = [\"DiagnosticReport-open\", \"DiagnosticReport-update\"]\n", hub.base+"/hub", benchTopic, token, hub.ca), 0o600))
	return []string{"run", "--no-tray", "--config", file, "--socket", socket}
}

func (w *benchWorld) end(b *testing.B) {
	for _, p := range []*benchProcess{w.agent, w.raw, w.app} {
		p.end()
	}
}

// latency sends events in turns, one through the agent, one through the raw relay. Opens of two patients alternate, so
// that each one changes the context. The next is not sent before the hub has the agent's answer.
func (w *benchWorld) latency(b *testing.B, l *benchLatency, size, events int) {
	pair := []*benchEvent{newBenchEvent(size, "open", "a"), newBenchEvent(size, "open", "b")}
	warm := events / 10
	w.app.report(b)
	for n := range warm + events {
		if n == warm {
			w.app.await(b, time.Second, warm, warm)
			w.hub.takeAnswers()
		}
		e := pair[n%2]
		var answered <-chan bool
		benchCheck(b, e.send(w.agentSocket, func(sent int64) { answered = w.hub.expect(sent) }))
		select {
		case <-answered:
		case <-time.After(2 * time.Second):
			b.Fatalf("no answer to an event within 2 s; the agent says:\n%s", w.agent.log)
		}
		benchPause(benchGap)
		benchCheck(b, e.send(w.rawSocket, func(int64) {}))
		benchPause(benchGap)
	}
	got := w.app.await(b, time.Second, events, events)
	if len(got[0].Ages) != events || len(got[1].Ages) != events {
		b.Fatalf("of %d events of %d bytes %d came through the agent and %d through the raw relay", events, size, len(got[0].Ages), len(got[1].Ages))
	}
	l.bytes = len(pair[0].text)
	l.add(got[0].Ages, got[1].Ages, w.hub.takeAnswers())
}

// burst writes updates as fast as they are taken; opens would supersede each other on their way, as they should. The hub
// leaves so many without an answer that the agent always has work, and not so many (256, or 8 MB) that it takes the app
// for one that does not read.
func (w *benchWorld) burst(b *testing.B, r *benchBurst, size, events int) {
	e := newBenchEvent(size, "update", "a")
	w.app.report(b)
	began := benchNow()
	unanswered := make(chan (<-chan bool), min(128, 4<<20/size))
	for range events {
		benchCheck(b, e.send(w.agentSocket, func(sent int64) {
			for len(unanswered) == cap(unanswered) {
				<-<-unanswered
			}
			unanswered <- w.hub.expect(sent)
		}))
	}
	got := w.app.await(b, 2*time.Second, events)[0]
	if len(got.Ages) != events {
		b.Fatalf("of a burst of %d events of %d bytes %d came (%s); the agent says:\n%s", events, size, len(got.Ages), got.Ended, w.agent.log)
	}
	r.agent = append(r.agent, float64(events)*float64(time.Second)/float64(got.Last-began))

	began = benchNow()
	for range events {
		benchCheck(b, e.send(w.rawSocket, func(int64) {}))
	}
	got = w.app.await(b, 2*time.Second, 0, events)[1]
	r.raw = append(r.raw, float64(len(got.Ages))*float64(time.Second)/float64(got.Last-began))
}

// idle looks at the memory of an agent that is subscribed, has an app and nothing to do.
func (w *benchWorld) idle(b *testing.B, m *benchResult) {
	benchPause(3 * time.Second)
	rss, own := w.agent.memory(b)
	rawRSS, rawOwn := w.raw.memory(b)
	m.rss, m.own = append(m.rss, rss), append(m.own, own)
	m.rawRSS, m.rawOwn = append(m.rawRSS, rawRSS), append(m.rawOwn, rawOwn)
}

// quiet looks again after ten events of 1 MB and a pause, in which it counts the processor's time.
func (w *benchWorld) quiet(b *testing.B, m *benchResult) {
	pair := []*benchEvent{newBenchEvent(1<<20, "open", "a"), newBenchEvent(1<<20, "open", "b")}
	w.app.report(b)
	for n := range 10 {
		benchCheck(b, pair[n%2].send(w.agentSocket, func(int64) {}))
		benchCheck(b, pair[n%2].send(w.rawSocket, func(int64) {}))
		benchPause(100 * time.Millisecond)
	}
	w.app.await(b, 2*time.Second, 10, 10)
	m.peakRSS, _ = w.agent.memory(b)
	benchPause(benchQuiet - benchIdle)
	cpu, switches := w.agent.work(b)
	rawCPU, _ := w.raw.work(b)
	benchPause(benchIdle)
	m.burstRSS, _ = w.agent.memory(b)
	cpu2, switches2 := w.agent.work(b)
	rawCPU2, _ := w.raw.work(b)
	seconds := benchIdle.Seconds()
	m.idleCPU, m.rawIdleCPU = (cpu2-cpu).Seconds()/seconds, (rawCPU2-rawCPU).Seconds()/seconds
	m.idleSwitches = float64(switches2-switches) / seconds
}

func benchFileSize(b *testing.B, file string) int64 {
	fi, err := os.Stat(file)
	benchCheck(b, err)
	return fi.Size()
}
