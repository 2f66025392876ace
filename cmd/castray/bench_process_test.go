//go:build linux

package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// buildBench makes the two programs as they are shipped, and returns where they are.
func buildBench(b *testing.B, dir string) (castray, relaybench string) {
	for _, pkg := range []string{".", "./testdata/relaybench"} {
		cmd := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", dir+"/", pkg)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			b.Fatalf("build %s: %v\n%s", pkg, err, out)
		}
	}
	return filepath.Join(dir, "castray"), filepath.Join(dir, "relaybench")
}

// A benchProcess is a child that is ended with the benchmark, if not before.
type benchProcess struct {
	*exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
	log *strings.Builder
}

func startBench(b *testing.B, env []string, name string, args ...string) *benchProcess {
	p := &benchProcess{Cmd: exec.Command(name, args...), log: &strings.Builder{}}
	p.Stderr, p.Env = p.log, append(os.Environ(), env...)
	in, err := p.StdinPipe()
	benchCheck(b, err)
	out, err := p.StdoutPipe()
	benchCheck(b, err)
	p.in, p.out = in, bufio.NewReader(out)
	benchCheck(b, p.Start())
	b.Cleanup(p.end)
	return p
}

func (p *benchProcess) end() {
	if p.ProcessState == nil {
		_ = p.Process.Kill()
		_ = p.Wait()
	}
}

// benchWay is what the app tells about one way on which events come to it.
type benchWay struct {
	Ages  []int64
	First int64
	Last  int64
	Ended string
}

// report asks the app what came since the last report: through the agent, and through the raw relay. A way that has
// ended says why.
func (p *benchProcess) report(b *testing.B) (ways [2]benchWay) {
	_, err := fmt.Fprintln(p.in)
	benchCheck(b, err)
	for i := range ways {
		line, err := p.out.ReadBytes('\n')
		benchCheck(b, err)
		benchCheck(b, json.Unmarshal(line, &ways[i]))
	}
	return ways
}

// await gathers reports until n events came on each way that is asked about (0: not), or d has passed without news.
func (p *benchProcess) await(b *testing.B, d time.Duration, n ...int) (ways [2]benchWay) {
	quiet := time.Now()
	for {
		complete := true
		for i, more := range p.report(b) {
			w := &ways[i]
			w.Ages = append(w.Ages, more.Ages...)
			if w.First == 0 {
				w.First = more.First
			}
			if more.Last != 0 {
				w.Last, quiet = more.Last, time.Now()
			}
			w.Ended = more.Ended
			complete = complete && (i >= len(n) || len(w.Ages) >= n[i])
		}
		if complete || time.Since(quiet) > d {
			return ways
		}
		benchPause(5 * time.Millisecond)
	}
}

func benchPause(d time.Duration) { <-time.After(d) }

// memory is the resident set in bytes. The rest of it is the program's file, which all who run it share.
func (p *benchProcess) memory(b *testing.B) (rss, anonymous int64) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", p.Process.Pid))
	benchCheck(b, err)
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		switch f[0] {
		case "Rss:":
			rss = benchNumber(f[1]) << 10
		case "Anonymous:":
			anonymous = benchNumber(f[1]) << 10
		}
	}
	return rss, anonymous
}

// work is the time that all threads have spent on a processor, and how often they were switched to.
func (p *benchProcess) work(b *testing.B) (cpu time.Duration, switches int64) {
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", p.Process.Pid))
	benchCheck(b, err)
	for _, t := range threads {
		text, err := os.ReadFile(t + "/schedstat")
		if errors.Is(err, os.ErrNotExist) {
			continue // the thread has ended
		}
		benchCheck(b, err)
		f := strings.Fields(string(text))
		cpu += time.Duration(benchNumber(f[0]))
		switches += benchNumber(f[2])
	}
	return cpu, switches
}

func benchNumber(s string) int64 {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		panic(err)
	}
	return n
}
