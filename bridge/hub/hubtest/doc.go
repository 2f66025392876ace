// Package hubtest is what FHIRcast subscribers are tested against: a hub with named faults, and a network inside the
// process to meet it on. It is for tests and for the sandbox, never for patients.
//
// [Server] is a hub that misbehaves on request: by a named [Fault], by a [Reply] to a kind of request, or at once by a
// method. It keeps what it received. It works on the bytes between hub and network, so that the hub stays honest and
// does not know. What each fault does is a row of a catalogue, with the sentence that people read. Some rows are hubs of
// other times; they were written from what was printed then, and share nothing with the table by which a client speaks
// to such hubs: a fake that did would hide the mistakes of the client.
//
// [Pipe] serves any handler over real TLS, through memory instead of a kernel's sockets, so that a whole client with
// its WebSocket runs in a bubble of testing/synctest, where an hour of silence takes a millisecond. The network itself
// can be cut, frozen or refuse.
//
// [Proxy] is for real sockets: it stands between any client and any hub, over TCP and TLS, and harms bytes, whole
// WebSocket frames and the line itself.
//
// Nothing here takes a *testing.T, and nothing imports the client that is tested with it.
package hubtest
