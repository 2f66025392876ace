package subscriber

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The table of every state against every input. What is not written here changes nothing and does nothing.
func TestStep(t *testing.T) {
	type to struct {
		state   State
		effects []effect
	}
	then := func(s State, effects ...effect) to { return to{s, effects} }
	table := map[State]map[input]to{
		idle: {
			begin: then(subscribing, post),
			stop:  then(ended, finish),
		},
		waiting: {
			due:       then(subscribing, post),
			reconnect: then(waiting, schedule),
			stop:      then(ended, finish),
		},
		returning: {
			due:       then(subscribing, post),
			reconnect: then(returning, schedule),
			stop:      then(ended, finish),
		},
		subscribing: {
			accepted:  then(connecting, dial),
			refused:   then(waiting, drop, schedule),
			rejected:  then(ended, drop, finish),
			reconnect: then(returning, drop, schedule),
			stop:      then(ended, drop, finish),
		},
		connecting: {
			opened:    then(confirming, listen),
			failed:    then(waiting, drop, schedule),
			denied:    then(ended, drop, finish),
			reconnect: then(returning, drop, schedule),
			stop:      then(leaving, leave),
		},
		confirming: {
			confirmed: then(subscribed, announce),
			failed:    then(waiting, drop, schedule),
			denied:    then(ended, drop, finish),
			reconnect: then(returning, drop, schedule),
			stop:      then(leaving, leave),
		},
		subscribed: {
			reconfirmed: then(subscribed, update),
			renewDue:    then(renewing, renew),
			lost:        then(waiting, drop, schedule),
			denied:      then(ended, drop, finish),
			reconnect:   then(returning, drop, schedule),
			stop:        then(leaving, leave),
		},
		renewing: {
			accepted:    then(moving, dial),
			extended:    then(subscribed, dropComing, extend),
			refused:     then(subscribed, dropComing, renewLater),
			rejected:    then(subscribed, dropComing, renewLater),
			reconfirmed: then(renewing, update),
			lost:        then(waiting, drop, schedule),
			denied:      then(ended, drop, finish),
			reconnect:   then(returning, drop, schedule),
			stop:        then(leaving, leave),
		},
		moving: {
			opened:      then(moving, listen),
			confirmed:   then(subscribed, announce),
			failed:      then(subscribed, dropComing, renewLater),
			reconfirmed: then(moving, update),
			lost:        then(waiting, drop, schedule),
			denied:      then(ended, drop, finish),
			reconnect:   then(returning, drop, schedule),
			stop:        then(leaving, leave),
		},
		leaving: {
			left: then(ended, finish),
		},
		ended: {},
	}
	if len(table) != int(states) {
		t.Fatalf("%d states in the table, there are %d", len(table), states)
	}
	for _, s := range slices.Sorted(maps.Keys(table)) {
		for in := range inputs {
			want, ok := table[s][in]
			if !ok {
				want = to{state: s}
			}
			t.Run(fmt.Sprintf("%v when %v", in, s), func(t *testing.T) {
				got, effects := step(s, in)
				if got != want.state || !cmp.Equal(effects, want.effects) {
					t.Errorf("to %v with %v, want %v with %v", got, effects, want.state, want.effects)
				}
			})
		}
	}
}

// Wherever one starts, stop and what follows it end it; and no state is a trap otherwise.
func TestStepEveryStateCanEnd(t *testing.T) {
	for s := range states {
		at, _ := step(s, stop)
		at, _ = step(at, left)
		if at != ended {
			t.Errorf("%v ends in %v", s, at)
		}
		if s != ended && s != leaving {
			if next, effects := step(s, stop); next == s || len(effects) == 0 {
				t.Errorf("%v does not heed stop", s)
			}
		}
	}
}

func TestWordsOfStatesInputsAndEffects(t *testing.T) {
	seen := map[string]bool{}
	check := func(word fmt.Stringer) {
		if w := word.String(); w == "" || seen[fmt.Sprintf("%T %s", word, w)] {
			t.Errorf("%T: %q is empty or used twice", word, w)
		} else {
			seen[fmt.Sprintf("%T %s", word, w)] = true
		}
	}
	for s := range states {
		check(s)
	}
	for in := range inputs {
		check(in)
	}
	for e := range effects {
		check(e)
	}
	if got := states.String(); got != "state 11" {
		t.Errorf("beyond the last state: %q", got)
	}
	for s := range states {
		if want := s == subscribed || s == renewing || s == moving; s.Subscribed() != want {
			t.Errorf("%v.Subscribed() = %v", s, s.Subscribed())
		}
		if s.Waiting() != (s == waiting) {
			t.Errorf("%v.Waiting() = %v", s, s.Waiting())
		}
	}
}
