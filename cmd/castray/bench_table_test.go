//go:build linux

package main

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

// A benchResult is all that was measured.
type benchResult struct {
	latency map[int]*benchLatency
	burst   map[int]*benchBurst

	rss, own, rawRSS, rawOwn       []int64
	peakRSS, burstRSS              int64
	idleCPU, rawIdleCPU            float64 // share of one processor
	idleSwitches                   float64 // a second
	start, rawStart, keychainStart []float64
	size, rawSize                  int64
}

func (m *benchResult) sized(size int) *benchLatency {
	if m.latency[size] == nil {
		m.latency[size] = &benchLatency{}
	}
	return m.latency[size]
}

func (m *benchResult) burstOf(size int) *benchBurst {
	if m.burst[size] == nil {
		m.burst[size] = &benchBurst{}
	}
	return m.burst[size]
}

// A benchLatency holds quantiles of each repeat, in microseconds.
type benchLatency struct {
	bytes                              int
	p50, p99, rawP50, rawP99, answered []float64
}

func (l *benchLatency) add(agent, raw, answers []int64) {
	l.p50, l.p99 = append(l.p50, quantile(agent, 0.5)), append(l.p99, quantile(agent, 0.99))
	l.rawP50, l.rawP99 = append(l.rawP50, quantile(raw, 0.5)), append(l.rawP99, quantile(raw, 0.99))
	l.answered = append(l.answered, quantile(answers, 0.5))
}

// ratio is the median of the repeats' ratios: each repeat has noise of its own, which both ways share.
func (l *benchLatency) ratio() float64 { return median(ratios(l.p50, l.rawP50)) }

type benchBurst struct{ agent, raw []float64 } // events a second

func quantile(ns []int64, q float64) float64 {
	ns = slices.Sorted(slices.Values(ns))
	return float64(ns[min(int(q*float64(len(ns))), len(ns)-1)]) / 1e3
}

func median[T int64 | float64](v []T) T {
	v = slices.Sorted(slices.Values(v))
	return v[len(v)/2]
}

func ratios(a, b []float64) []float64 {
	out := make([]float64, len(a))
	for i := range a {
		out[i] = a[i] / b[i]
	}
	return out
}

// table is the page's part that is measured.
func (m *benchResult) table(castray string) string {
	var t bytes.Buffer
	fmt.Fprintf(&t, "%s, commit %s, %s, %d processors, %s %s/%s.\n\n", time.Now().UTC().Format(time.DateOnly), benchCommit(), benchProcessor(),
		runtime.NumCPU(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
	t.WriteString("| quantity | raw relay | Castray | ratio | target | |\n| --- | ---: | ---: | ---: | --- | --- |\n")
	row := func(what, raw, ours string, ratio float64, target string, met bool) {
		word, r := "", "-"
		if target != "-" {
			word = map[bool]string{true: "met", false: "**missed**"}[met]
		}
		if !math.IsNaN(ratio) {
			r = fmt.Sprintf("%.2f", ratio)
		}
		fmt.Fprintf(&t, "| %s | %s | %s | %s | %s | %s |\n", what, raw, ours, r, target, word)
	}
	none := math.NaN()
	for _, s := range []struct {
		size int
		word string
		most float64
	}{{1 << 10, "1 KB", 1.6}, {10 << 10, "10 KB", 2.0}, {100 << 10, "100 KB", 2.8}} {
		l := m.latency[s.size]
		micro := func(v []float64) string { return fmt.Sprintf("%.0f µs", median(v)) }
		row("hub to app, "+s.word+", p50", micro(l.rawP50), micro(l.p50), l.ratio(), fmt.Sprintf("≤ %.1f x raw", s.most), l.ratio() <= s.most)
		row("hub to app, "+s.word+", p99", micro(l.rawP99), micro(l.p99), none, "-", true)
		row("hub to the hub's answer, "+s.word+", p50", "-", micro(l.answered), none, "-", true)
	}
	for _, s := range []struct {
		size  int
		word  string
		least float64
	}{{1 << 10, "1 KB", 0.25}, {10 << 10, "10 KB", 0.45}, {100 << 10, "100 KB", 0.4}} {
		r := m.burst[s.size]
		ratio := median(ratios(r.agent, r.raw))
		row("burst of "+s.word, fmt.Sprintf("%.0f/s", median(r.raw)), fmt.Sprintf("%.0f/s", median(r.agent)), ratio, fmt.Sprintf("≥ %.2f x raw", s.least), ratio >= s.least)
	}
	mb := func(n int64) string { return fmt.Sprintf("%.1f MB", float64(n)/1e6) }
	of := func(a, b int64) float64 { return float64(a) / float64(b) }
	rss := median(m.rss)
	row("memory, idle, no tray (RSS)", mb(median(m.rawRSS)), mb(rss), of(rss, median(m.rawRSS)), "≤ 15 MB", rss <= 15e6)
	row("of that the process's own, the rest is the program's file", mb(median(m.rawOwn)), mb(median(m.own)), of(median(m.own), median(m.rawOwn)), "-", true)
	row("memory, right after ten events of 1 MB", "-", mb(m.peakRSS), none, "-", true)
	row("memory, 60 s later", "-", mb(m.burstRSS), none, "≤ idle + 8 MB", m.burstRSS <= rss+8e6)
	milli := func(share float64) string { return fmt.Sprintf("%.2f ms/s", share*1e3) }
	row("processor, idle", milli(m.rawIdleCPU), milli(m.idleCPU), none, "≤ 1 ms/s", m.idleCPU <= 1e-3)
	row("times it is woken, idle", "-", fmt.Sprintf("%.1f/s", m.idleSwitches), none, "≤ 5/s", m.idleSwitches <= 5)
	ms := func(v []float64) string { return fmt.Sprintf("%.0f ms", median(v)) }
	row("start to first event, hub without sign-in", ms(m.rawStart), ms(m.start), median(m.start)/median(m.rawStart), "≤ 50 ms", median(m.start) <= 50)
	if m.keychainStart != nil {
		row("start to first event, sign-in from a real gnome-keyring", "-", ms(m.keychainStart), none, "≤ 50 ms", median(m.keychainStart) <= 50)
	} else {
		row("start to first event, sign-in from the keychain", "-", "not measured: no gnome-keyring here", none, "≤ 50 ms", false)
	}
	row("program, stripped", mb(m.rawSize), mb(m.size), of(m.size, m.rawSize), "≤ 20 MB", m.size <= 20e6)
	return t.String()
}

func benchCommit() string {
	out, err := exec.Command("git", "describe", "--always", "--dirty").Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(out))
}

// benchProcessor is the machine's own word for its processor.
func benchProcessor() string {
	text, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(text)) {
		if name, ok := strings.CutPrefix(line, "model name"); ok {
			return strings.TrimSpace(strings.TrimLeft(name, " \t:"))
		}
	}
	return "unknown processor"
}

const (
	benchBegin = "<!-- measured: written by make bench -->\n"
	benchEnd   = "<!-- end of measured -->\n"
)

// writeBenchPage puts the table between the marks of a page.
func writeBenchPage(b *testing.B, file, table string) {
	page, err := os.ReadFile(file)
	benchCheck(b, err)
	before, rest, ok := strings.Cut(string(page), benchBegin)
	_, after, also := strings.Cut(rest, benchEnd)
	if !ok || !also {
		b.Fatalf("%s has not the two marks", file)
	}
	benchCheck(b, os.WriteFile(file, []byte(before+benchBegin+"\n"+table+"\n"+benchEnd+after), 0o644))
}
