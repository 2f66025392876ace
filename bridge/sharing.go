package bridge

import (
	"github.com/castray/castray/bridge/fhircast"
	"github.com/castray/castray/ipc/protocol"
)

// What an app shares: the updates and selects that it asks the hub for, and what becomes of an update that is not taken.

// mayUpdate gives an update its version: the app's own or, where it says none, the newest that we have heard of
// (FC-CS-02). Whether it fits is for the hub to say. What belongs to the open itself is not taken out (FC-CS-24).
func (c *core) mayUpdate(e *fhircast.Event) (version string, err error) {
	change, err := e.Update()
	if err != nil {
		return "", err
	}
	o := c.desk.find(change.Type + "/" + change.ID)
	if o != nil {
		for _, entry := range change.Entries {
			if entry.Method == "DELETE" && o.opensWith(entry.Type, entry.ID) {
				return "", &protocol.Error{Code: protocol.CodeInvalidParams, Message: "The update deletes a resource that the open named; such a resource stays until the close."}
			}
		}
	}
	switch {
	case e.Version != "":
		return e.Version, nil
	case o == nil || o.version == "":
		return "", &protocol.Error{Code: protocol.CodeContextUnknown, Message: "The version of this context is not known; say version, or send it when the context is open and the hub has given one."}
	}
	return o.version, nil
}

// opensWith tells whether the open named that resource.
func (o *opened) opensWith(resource, id string) bool {
	for _, item := range o.event.Context {
		if r, ok := item.Resource(); ok && r.Type == resource && r.ID == id {
			return true
		}
	}
	return false
}

// maySelect refuses to point at anything outside the current context (FC-CS-30).
func (c *core) maySelect(e *fhircast.Event) error {
	anchor, ok := about(e)
	if !ok {
		return &protocol.Error{Code: protocol.CodeInvalidParams, Message: "The event does not name the resource that it is about."}
	}
	if !c.desk.known {
		return &protocol.Error{Code: protocol.CodeContextUnknown, Message: "The context is unknown, so nothing in it can be selected."}
	}
	if o := c.desk.current(); o == nil || o.name() != anchor {
		return &protocol.Error{Code: protocol.CodeTooLate, Message: "This context is not the current one, and only there something can be selected; look at the context."}
	}
	return nil
}

// updated is the hub's answer to an update. Refused, the app goes back to what the hub has. Accepted, or perhaps, its
// broadcast tells; without one within 5 s it was not taken after all.
func (c *core) updated(q *request) {
	switch {
	case q.err != nil && q.err.Code == protocol.CodeRefused:
		c.untaken(q)
	case q.err == nil || q.unknown():
		c.after(echoWithin, func() { c.untaken(q) })
	}
}

// untaken is an update that the hub did not take, for its version or for whatever reason: the context is read, and the
// app gets what the hub has, whatever it was told before (FC-CS-03, FC-CS-13).
func (c *core) untaken(q *request) {
	if q.over || q.gen != c.gen || c.sub == 0 {
		return
	}
	q.over = true
	anchor, _ := about(q.event)
	switch o := c.desk.find(anchor); {
	case o == nil:
	case o != c.desk.current():
		o.standing = behind // whoever opens it again is told what the hub has
	default:
		q.by.share.astray = true
		if o.standing == settled {
			o.standing = unread
		}
	}
}

// rejectedLate is a SyncError that a hub sends to who asked, instead of broadcasting what it had accepted (FHIRcast
// 3.0.0, 2.6.1). About something shared it says nothing of who is in sync, and is no complaint.
func (c *core) rejectedLate(id string) bool {
	q := c.requests[id]
	if q == nil || q.over || q.gen != c.gen || q.event.Name.Changes() {
		return false
	}
	q.rejected, q.result, q.err = true, nil, &protocol.Error{Code: protocol.CodeRefused, Message: "The hub accepted the event and refused it afterwards."}
	if q.event.Name.Verb() == fhircast.Update {
		c.untaken(q)
	}
	q.over = true
	return true
}
