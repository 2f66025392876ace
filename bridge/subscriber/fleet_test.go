package subscriber

import (
	"container/heap"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// Ten thousand workstations and a hub that was down for five seconds and takes 500 subscriptions a second after that:
// those who have to wait longer than 10 s for an answer have given up, and their request was work for nothing. (Virtual
// time, the schedule as it is, no sockets.)
//
// FM-33
func TestFleetComesBackPolitely(t *testing.T) {
	const (
		agents   = 10000
		perSec   = 500
		down     = 5 * time.Second
		patience = 10 * time.Second
		service  = time.Second / perSec
	)
	random := rand.New(rand.NewPCG(5, 6))
	var due tries
	for range agents {
		heap.Push(&due, try{at: delay(0, remote, 0, random.Float64())})
	}
	var back []time.Duration
	total := 0
	free := down // when the hub has worked off what it has
	peak := map[time.Duration]int{}
	for len(due) > 0 {
		now := heap.Pop(&due).(try)
		total++
		failed := now.at // refused at once while the hub is down
		if now.at >= down {
			peak[now.at.Truncate(time.Second)]++
			free = max(free, now.at) + service
			if free <= now.at+patience {
				back = append(back, free)
				continue
			}
			failed = now.at + patience
		}
		next := now.attempt + 1
		heap.Push(&due, try{at: failed + delay(next, remote, 0, random.Float64()), attempt: next})
	}
	slices.Sort(back)
	highest := 0
	for _, n := range peak {
		highest = max(highest, n)
	}
	most := back[len(back)*99/100]
	t.Logf("99%% back after %v, the last after %v, %.1f tries each, at most %d tries a second", most, back[len(back)-1], float64(total)/agents, highest)
	if limit := down + agents*service*3/2; most > limit {
		t.Errorf("99%% are back after %v, want %v", most, limit)
	}
	if total > 3*agents {
		t.Errorf("%d tries of %d agents", total, agents)
	}
	if highest > 3*perSec {
		t.Errorf("%d tries in one second at a hub that takes %d", highest, perSec)
	}
}

// Ten thousand that came within a minute with leases of an hour do not renew within a minute too.
//
// FM-33
func TestFleetDoesNotRenewAtOnce(t *testing.T) {
	const (
		agents = 10000
		lease  = time.Hour
	)
	random := rand.New(rand.NewPCG(7, 8))
	minutes := map[time.Duration]int{}
	for range agents {
		came := part(random.Float64(), time.Minute)
		at := renewalAt(lease, random.Float64())
		if at < lease/2 || at > lease*4/5 {
			t.Fatalf("a lease of %v is renewed after %v", lease, at)
		}
		minutes[(came+at).Truncate(time.Minute)]++
	}
	highest := 0
	for _, n := range minutes {
		highest = max(highest, n)
	}
	if rate := float64(highest) / 60; rate > 11 { // 10,000 over 18 minutes are 9.3
		t.Errorf("%.1f renewals a second in the busiest minute", rate)
	}
}

type try struct {
	at      time.Duration
	attempt int
}

// tries are in the order of their times.
type tries []try

func (t tries) Len() int           { return len(t) }
func (t tries) Less(i, j int) bool { return t[i].at < t[j].at }
func (t tries) Swap(i, j int)      { t[i], t[j] = t[j], t[i] }
func (t *tries) Push(x any)        { *t = append(*t, x.(try)) }
func (t *tries) Pop() any {
	last := (*t)[len(*t)-1]
	*t = (*t)[:len(*t)-1]
	return last
}
