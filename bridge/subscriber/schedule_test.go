package subscriber

import (
	"math/rand/v2"
	"testing"
	"time"
)

func TestDelay(t *testing.T) {
	const s = time.Second
	for _, tt := range []struct {
		name       string
		attempt    int
		why        reason
		retryAfter time.Duration
		r          float64
		want       time.Duration
	}{
		{"the first try may be at once", 0, remote, 0, 0, 0},
		{"the first window is 5 s", 0, remote, 0, 0.5, 2500 * time.Millisecond},
		{"the second is 10 s", 1, remote, 0, 0.5, 5 * s},
		{"the third is 20 s", 2, remote, 0, 0.5, 10 * s},
		{"the fourth is 40 s", 3, remote, 0, 0.5, 20 * s},
		{"the fifth is 60 s", 4, remote, 0, 0.5, 30 * s},
		{"no window is larger", 5, remote, 0, 0.5, 30 * s},
		{"however many tries", 1000000, remote, 0, 0.5, 30 * s},
		{"resume from sleep costs a reader 1 s at most", 0, local, 0, 0.5, 500 * time.Millisecond},
		{"also after many tries", 9, local, 0, 0.5, 500 * time.Millisecond},
		{"one new subscription after a denial within 5 s", 7, denial, 0, 0.5, 2500 * time.Millisecond},
		{"401 and 403 never go faster than 30 s", 0, forbidden, 0, 0, 30 * s},
		{"and spread", 0, forbidden, 0, 0.5, 32500 * time.Millisecond},
		{"and slow down", 9, forbidden, 0, 0.5, 60 * s},
		{"Retry-After wins", 0, remote, 20 * s, 0, 20 * s},
		{"Retry-After gets up to a fifth more", 0, remote, 20 * s, 0.5, 22 * s},
		{"Retry-After wins over a long window too", 9, remote, 10 * s, 0.5, 11 * s},
		{"Retry-After wins over us", 0, local, 20 * s, 0, 20 * s},
		{"Retry-After is believed up to 5 min", 0, remote, 24 * time.Hour, 0.5, 330 * s},
		{"Retry-After does not make 403 faster", 0, forbidden, 1 * s, 0.5, 30 * s},
		{"or slower than it says", 0, forbidden, 40 * s, 0, 40 * s},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := delay(tt.attempt, tt.why, tt.retryAfter, tt.r); got != tt.want {
				t.Errorf("delay = %v, want %v", got, tt.want)
			}
		})
	}
}

// A schedule is only as good as its spread: in each window of each kind, 10^5 draws in 20 equal bins, chi-square with
// 19 degrees of freedom (99.9 % at 43.8). The source is seeded, so this passes or fails for good.
func TestDelaySpreadsEvenly(t *testing.T) {
	for _, tt := range []struct {
		name       string
		attempt    int
		why        reason
		retryAfter time.Duration
		from, to   time.Duration
	}{
		{"first", 0, remote, 0, 0, 5 * time.Second},
		{"second", 1, remote, 0, 0, 10 * time.Second},
		{"last", 9, remote, 0, 0, time.Minute},
		{"local", 0, local, 0, 0, time.Second},
		{"denied", 0, denial, 0, 0, 5 * time.Second},
		{"forbidden", 0, forbidden, 0, 30 * time.Second, 35 * time.Second},
		{"retry after 10 s", 0, remote, 10 * time.Second, 10 * time.Second, 12 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			random := rand.New(rand.NewPCG(1, 2))
			even(t, tt.from, tt.to, func() time.Duration { return delay(tt.attempt, tt.why, tt.retryAfter, random.Float64()) })
		})
	}
}

// FC-CNF-05
func TestRenewalSpreadsOverItsWindow(t *testing.T) {
	for _, lease := range []time.Duration{10 * time.Second, time.Hour, 24 * time.Hour} {
		random := rand.New(rand.NewPCG(3, 4))
		even(t, lease/2, lease*8/10, func() time.Duration { return renewalAt(lease, random.Float64()) })
		if got := leaseOver(lease); got != lease*95/100 {
			t.Errorf("a lease of %v is given up after %v", lease, got)
		}
	}
}

func even(t *testing.T, from, to time.Duration, draw func() time.Duration) {
	t.Helper()
	const draws, bins = 100000, 20
	var count [bins]int
	for range draws {
		d := draw()
		if d < from || d >= to {
			t.Fatalf("%v is not within [%v, %v)", d, from, to)
		}
		count[int(int64(d-from)*bins/int64(to-from))]++
	}
	var chi float64
	for _, n := range count {
		off := float64(n) - draws/bins
		chi += off * off / (draws / bins)
	}
	if chi > 43.8 {
		t.Errorf("chi-square %.1f over %d bins: not even", chi, bins)
	}
}
