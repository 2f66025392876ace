package bridge

import (
	"fmt"
	"strings"
	"time"

	"github.com/castray/castray/bridge/fhircast"
	"github.com/castray/castray/ipc/protocol"
)

// restoring is the effort to learn from the hub what is shared in the current context: after an open, for the hub may
// have kept it from before; when an update is missing; and for an app whose own update was not taken. It never changes
// what is current, and its failure makes nothing unknown but what is shared.
type restoring struct {
	number  int  // of the question that is out
	out     bool // it is
	tries   int
	failed  int  // in a row
	waiting bool // for the next try after a failure
}

// share brings what is shared to the apps that take part in it. It runs after every input and does nothing where all is
// well.
func (c *core) share() {
	if c.sub == 0 || c.waits() || c.reading.active {
		return
	}
	if o := c.desk.current(); o != nil {
		c.restore(o)
		c.bringContent(o)
	}
}

// restore asks the hub, where there is something to learn and somebody who wants it.
func (c *core) restore(o *opened) {
	if c.restoring.out || c.restoring.waiting || !c.lacks(o) {
		return
	}
	if c.offered == offersNot {
		o.makeDo()
		return
	}
	if o.standing == unread && c.restoring.failed == 0 {
		o.since = c.now
		c.after(c.cfg.AnswerWithin, func() {}) // it looks worse from then on
	}
	c.restoring.tries = 0
	c.askContent()
}

func (c *core) askContent() {
	c.seq++
	c.restoring.number, c.restoring.out = c.seq, true
	clear(c.heard)
	c.emit(ask{gen: c.gen, number: c.seq, id: fmt.Sprintf("snapshot-%d", c.seq)})
}

// lacks tells whether somebody takes part in a context of which we do not know what is shared in it.
func (c *core) lacks(o *opened) bool {
	if o.standing == settled {
		return false
	}
	resource := o.resource()
	update := fhircast.Name(resource + "-" + string(fhircast.Update))
	if !update.In(c.session.Events) || update.In(c.missing) {
		return false
	}
	for _, a := range c.present() {
		switch {
		case !a.takesPart(resource):
		case o.standing == behind:
			return true
		case o.standing == unread && (o.version != "" || a.share.astray): // hubs that share no content give no version
			return true
		}
	}
	return false
}

// lateComer is who subscribes when contexts are open already, at a hub that cannot be asked: what was shared in them until
// then is not known.
func (c *core) lateComer() {
	for i := range c.desk.open {
		if o := &c.desk.open[i]; o.version != "" {
			c.fallBehind(o)
		}
	}
}

// makeDo is for a hub that cannot be asked, or that gives no versions: what it sent is all that there is. What is missing stays missing, and is seen.
func (o *opened) makeDo() {
	if o.standing == unread {
		o.standing = settled
	}
}

// restored is the hub's answer. It is good if it is about what is current, and no update came since the question but
// the one after which it was given.
func (c *core) restored(in read) {
	o := c.desk.current()
	c.restoring.out = false
	switch {
	case in.err == nil && !in.offered:
		c.offered = offersNot
		o.makeDo()
	case in.err != nil:
		c.restoreLater()
	case !c.isAbout(in.event):
		c.restoring = restoring{}
		c.contradicted()
	case c.outrun(in.event, c.desk.what):
		if c.restoring.tries++; c.restoring.tries < readTries {
			c.askContent()
		} else {
			c.restoreLater()
		}
	case o.took(in.event):
		c.restoring = restoring{}
	default:
		c.restoreLater()
	}
}

// isAbout tells whether what was read is what we take for current.
func (c *core) isAbout(e *fhircast.Event) bool {
	if e == nil {
		return false
	}
	what, ok := name(e)
	return ok && c.desk.what.is(what)
}

// outrun tells whether an update arrived after the question was asked, and the answer is not the state that it made.
func (c *core) outrun(e *fhircast.Event, what named) bool {
	o := &opened{what: what}
	_, unreadable := c.heard[strings.ToLower(o.resource())]
	version, heard := c.heard[o.name()]
	return unreadable || heard && (version == "" || version != e.Version)
}

func (c *core) restoreLater() {
	n := c.restoring.failed
	c.restoring = restoring{waiting: true, failed: n + 1}
	limit := min(60*time.Second, 5*time.Second<<min(n, 10))
	gen, age := c.gen, c.desk.age
	c.after(time.Duration(c.cfg.Rand()*float64(limit)), func() {
		if c.gen == gen && c.desk.age == age {
			c.restoring.waiting = false // share asks
		}
	})
}

// took is what was read of a context: its version and all that is shared in it. It fails where that makes no sense.
func (o *opened) took(e *fhircast.Event) bool {
	_, ok := e.Item(contentKey)
	if !ok && o.version == e.Version && o.standing != behind {
		o.standing = settled // a hub that gives no content here: what its updates made stands
		return true
	}
	entries, err := e.Content()
	if err != nil {
		return false
	}
	o.version, o.standing, o.content, o.moved = e.Version, settled, content{}, o.event != e
	o.content.take(entries)
	return true
}

// bringContent is S13 for what is shared: an app that takes part and was told of another version, or of none, gets the
// whole as a snapshot, once it has answered the open: what it says to that is for the hub, too. Where nothing is shared, the
// open has said it all.
func (c *core) bringContent(o *opened) {
	if o.standing != settled || o.content.over {
		return
	}
	c.resumes(o)
	var e *fhircast.Event
	var r *round
	for _, a := range c.present() {
		if a.busy() || !a.takesPart(o.resource()) || !a.expects().names(o.what) || a.share == (share{known: true, version: o.version}) {
			continue
		}
		if !a.share.known && !a.share.astray && len(o.content.entries) == 0 {
			a.share = share{known: true, version: o.version}
			continue
		}
		if e == nil {
			if e = o.content.with(o.event, c.snapshotID(), o.version); e == nil {
				return
			}
			r = c.newRound(nil, true)
		}
		c.tellEvent(a, e, o.what, protocol.Mark{Snapshot: true}, r)
	}
	if r != nil {
		c.conclude(r, true)
	}
}

// resumes is the first time after a reconnect that we know what is shared. A hub that started anew may have made a version of
// the same name of something else; one that gives no content here has kept what it had.
func (c *core) resumes(o *opened) {
	was := c.left
	c.left = opened{}
	if was.event == nil || was.standing != settled || was.version != o.version || !was.what.is(o.what) || was.content.is(&o.content) {
		return
	}
	if _, has := o.event.Item(contentKey); !has && !o.moved {
		o.content = was.content
		return
	}
	for _, a := range c.apps {
		a.share.astray = true
	}
}

// shareOf is what an app knows that was told of an open: of a snapshot all, of the hub's own open what is shared only
// where that is nothing.
func (c *core) shareOf(e *fhircast.Event) share {
	if _, whole := e.Item(contentKey); whole {
		return share{known: true, version: e.Version}
	}
	o := c.desk.current()
	if o == nil || len(o.content.entries) > 0 || o.content.over || !o.event.Name.Is(e.Name) {
		return share{}
	}
	if o.standing == settled || o.standing == unread && o.version == "" {
		return share{known: true, version: o.version}
	}
	return share{}
}

// contentProblem: an app takes part, and nobody can say what is shared, or it is too much to be told.
func (c *core) contentProblem() (since time.Time, bad bool) {
	o := c.desk.current()
	if o == nil || c.sub == 0 {
		return time.Time{}, false
	}
	if o.content.over {
		for _, a := range c.present() {
			bad = bad || a.counts() && a.takesPart(o.resource()) && a.share != share{known: true, version: o.version}
		}
		return o.since, bad
	}
	if !c.lacks(o) {
		return time.Time{}, false
	}
	late := c.now.Sub(o.since) >= c.cfg.AnswerWithin
	return o.since, late && (o.standing == behind || c.restoring.out) || c.restoring.failed > 0
}

func (c *core) snapshotID() string {
	c.seq++
	return fmt.Sprintf("snapshot-%d", c.seq)
}
