package fhircast

import "time"

// A Time is the moment at which its sender says that an event happened. It is that sender's clock: it orders events
// (FHIRcast 3.0.0, 2.5.3) and is never compared with ours.
type Time struct {
	Raw string    // as it came, relayed unchanged
	At  time.Time // UTC; zero when Raw could not be read
}

// wire is what we write: UTC with milliseconds, as the examples of the specification do.
const wire = "2006-01-02T15:04:05.000Z"

// At is the time as we write it.
func At(t time.Time) Time { return Time{Raw: t.UTC().Format(wire), At: t.UTC()} }

// shapes are tried in turn. The second is for times without a zone, which the specification's own examples print
// ("2018-01-08T01:37:05.14"); they are read as UTC. Go takes any number of fraction digits for both.
var shapes = [...]string{time.RFC3339, "2006-01-02T15:04:05"}

func parseTime(raw string) Time {
	for _, shape := range shapes {
		if t, err := time.Parse(shape, raw); err == nil {
			return Time{Raw: raw, At: t.UTC()}
		}
	}
	// "2023-04-01T010:38:04.16" is printed in the specification. Such an event is taken in the order of its arrival.
	return Time{Raw: raw}
}

// Known tells whether the time could be read.
func (t Time) Known() bool { return !t.At.IsZero() }

// Before tells whether t is known to be earlier. A time that could not be read is before and after nothing.
func (t Time) Before(u Time) bool { return t.Known() && u.Known() && t.At.Before(u.At) }
