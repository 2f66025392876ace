package bridge

import (
	"slices"

	"github.com/castray/castray/bridge/fhircast"
	"github.com/castray/castray/ipc/protocol"
)

// question is an app's question what is current.
type question struct {
	app   string
	reply func(*protocol.ContextResult)
}

func (in question) apply(c *core) {
	result := c.contextFor(c.app(in.app))
	c.emit(reply{func() { in.reply(result) }})
}

// contextBytes is how much an app gets of what is open, newest first, so that a line holds it. What is current is always
// there.
const contextBytes = 4 << 20

// contextFor is the context as far as the app may see it, nil = unknown: also while a reading is under way.
func (c *core) contextFor(a *app) *protocol.ContextResult {
	if a == nil || c.sub == 0 || !c.desk.known || c.reading.active || c.held() {
		return nil
	}
	result := &protocol.ContextResult{}
	if e := c.desk.event; e != nil {
		mark := protocol.Mark{Snapshot: c.desk.snapshot}
		whole := c.desk.whole(e.ID)
		if whole, mark.Derived = a.sees(whole, c.desk.what); whole != nil {
			result.Current = whole.Relay(alias, inJSON(mark))
		}
		if whole != nil && !mark.Derived {
			result.Version = c.desk.current().version
		}
	}
	left := contextBytes - len(result.Current)
	for _, o := range slices.Backward(c.desk.open) {
		if a.Sees != nil && !o.event.Name.In(a.Sees) {
			continue
		}
		text := o.event.Relay(alias, "")
		if left -= len(text); left < 0 {
			break
		}
		result.Open = append(result.Open, text)
	}
	slices.Reverse(result.Open)
	return result
}

// wish changes what an app asks for. One that asks for no anchor any more would keep what it shows, and nobody would tell
// it when that is not current: it is told to show no patient.
type wish struct {
	app    string
	events []fhircast.Name
	reply  func()
}

func (in wish) apply(c *core) {
	if a := c.app(in.app); a != nil {
		followed := a.asksAny()
		a.Events = in.events
		a.leaves = !a.asksAny() && (a.leaves || followed && !a.expects().empty())
		r := c.newRound(nil, true)
		c.bring(a, r, manner{replay: true})
		c.conclude(r, true)
	}
	c.emit(reply{in.reply})
}
