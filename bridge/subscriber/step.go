package subscriber

// step says what follows when in happens in s. Inputs that mean nothing in a state change nothing: most are late. What
// it is about (which line, why, how long) is the owner's.
func step(s State, in input) (State, []effect) {
	switch s {
	case idle:
		switch in {
		case begin:
			return subscribing, []effect{post}
		case stop:
			return ended, []effect{finish}
		}
	case waiting, returning:
		switch in {
		case due:
			return subscribing, []effect{post}
		case reconnect:
			return s, []effect{schedule}
		case stop:
			return ended, []effect{finish}
		}
	case subscribing:
		switch in {
		case accepted:
			return connecting, []effect{dial}
		case refused:
			return waiting, []effect{drop, schedule}
		case reconnect:
			return returning, []effect{drop, schedule}
		case rejected, stop:
			return ended, []effect{drop, finish}
		}
	case connecting, confirming:
		return stepComing(s, in)
	case subscribed, renewing, moving:
		return stepLive(s, in)
	case leaving:
		if in == left {
			return ended, []effect{finish}
		}
	}
	return s, nil
}

// stepComing is step while the first line is being set up.
func stepComing(s State, in input) (State, []effect) {
	switch in {
	case opened:
		if s == connecting {
			return confirming, []effect{listen}
		}
	case confirmed:
		if s == confirming {
			return subscribed, []effect{announce}
		}
	case failed:
		return waiting, []effect{drop, schedule}
	case reconnect:
		return returning, []effect{drop, schedule}
	case denied:
		return ended, []effect{drop, finish}
	case stop:
		return leaving, []effect{leave}
	}
	return s, nil
}

// stepLive is step while a subscription is in force. A renewal that goes wrong, or a second line that comes to nothing,
// does not touch the live one; the live one's end takes the other with it.
func stepLive(s State, in input) (State, []effect) {
	switch in {
	case reconfirmed:
		return s, []effect{update}
	case lost:
		return waiting, []effect{drop, schedule}
	case reconnect:
		return returning, []effect{drop, schedule}
	case denied:
		return ended, []effect{drop, finish}
	case stop:
		return leaving, []effect{leave}
	}
	switch {
	case s == subscribed && in == renewDue:
		return renewing, []effect{renew}
	case s == renewing && in == accepted:
		return moving, []effect{dial}
	case s == renewing && in == extended:
		return subscribed, []effect{dropComing, extend}
	case s == renewing && (in == refused || in == rejected):
		return subscribed, []effect{dropComing, renewLater}
	case s == moving && in == opened:
		return moving, []effect{listen}
	case s == moving && in == confirmed:
		return subscribed, []effect{announce}
	case s == moving && in == failed:
		return subscribed, []effect{dropComing, renewLater}
	}
	return s, nil
}
