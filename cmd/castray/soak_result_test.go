//go:build linux

package main

import (
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"testing"
	"time"
)

// soakPercent is how much of the soak is run. CASTRAY_SOAK says it; everyday it is a look whether the soak itself works.
func soakPercent(t *testing.T) int {
	s := os.Getenv("CASTRAY_SOAK")
	if s == "" {
		return 2
	}
	percent, err := strconv.Atoi(s)
	if err != nil || percent < 1 || percent > 100 {
		t.Fatal("CASTRAY_SOAK is a percentage")
	}
	return percent
}

// A soakResult is printed as one line of JSON after the word soak. make soak makes the table of docs/reliability.md of
// these lines.
type soakResult struct {
	Test     string   `json:"test"`
	What     string   `json:"what"`
	HowMuch  string   `json:"how_much"`
	Result   string   `json:"result"`
	Measured []string `json:"measured"`
	Percent  int      `json:"percent"`
	Race     bool     `json:"race"`
	Date     string   `json:"date"`
	Commit   string   `json:"commit"`
	Machine  string   `json:"machine"`
}

// tell prints the result of a test that has not failed.
func (r soakResult) tell(t *testing.T) {
	if t.Failed() {
		return
	}
	r.Test, r.Percent, r.Race = t.Name(), soakPercent(t), soakRace
	r.Date, r.Commit = time.Now().UTC().Format(time.DateOnly), benchCommit()
	r.Machine = fmt.Sprintf("%s, %d processors, %s %s/%s", benchProcessor(), runtime.NumCPU(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
	line, err := json.Marshal(r)
	benchCheck(t, err)
	fmt.Printf("soak %s\n", line)
}

// spread is the median and the worst of some times, in words.
func spread(times []time.Duration) string {
	if len(times) == 0 {
		return "none"
	}
	times = slices.Sorted(slices.Values(times))
	short := func(d time.Duration) time.Duration { return d.Round(time.Millisecond) }
	return fmt.Sprintf("median %v, worst %v", short(times[len(times)/2]), short(times[len(times)-1]))
}
