package subscriber

import "time"

// A reason is the kind of a failure, as far as the time of the next try depends on it.
type reason uint8

const (
	remote    reason = iota // the hub, or the way to it
	local                   // this workstation: resume, another network, the user
	denial                  // the hub ended the subscription with a denial
	forbidden               // 401 or 403
)

const (
	firstWindow    = 5 * time.Second
	lastWindow     = time.Minute
	healthy        = time.Minute // this long subscribed, and the count of attempts begins anew
	forbiddenFloor = 30 * time.Second
	longestWait    = 5 * time.Minute // of what a hub may ask for by Retry-After
)

// delay is how long to wait before the next try. attempt counts those since the last healthy subscription, from 0;
// retryAfter is what the hub asked for; r is in [0,1). The windows are wide from the first on, so that ten thousand
// workstations come back to a hub that was restarted without knocking it over again.
func delay(attempt int, why reason, retryAfter time.Duration, r float64) time.Duration {
	if retryAfter > 0 {
		wait := time.Duration((1 + 0.2*r) * float64(min(retryAfter, longestWait)))
		if why == forbidden {
			return max(wait, forbiddenFloor)
		}
		return wait
	}
	switch why {
	case local:
		return part(r, time.Second)
	case denial:
		return part(r, firstWindow)
	case forbidden:
		return forbiddenFloor + part(r, window(attempt))
	}
	return part(r, window(attempt))
}

func window(attempt int) time.Duration {
	if attempt > 4 {
		return lastWindow
	}
	return min(firstWindow<<max(attempt, 0), lastWindow)
}

func part(r float64, of time.Duration) time.Duration { return time.Duration(r * float64(of)) }

// renewalAt is how long after its beginning a lease is renewed: at a random point of 50 to 80 % of it, so that those
// who came together do not stay together.
func renewalAt(lease time.Duration, r float64) time.Duration {
	return part(0.5+0.3*r, lease)
}

// leaseOver is how long after its beginning a lease that could not be renewed is given up for a new subscription.
func leaseOver(lease time.Duration) time.Duration { return part(0.95, lease) }
