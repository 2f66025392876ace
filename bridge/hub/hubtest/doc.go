// Package hubtest is what FHIRcast subscribers are tested against: a hub with named faults, and a network inside the
// process to meet it on. It is for tests and for the sandbox, never for patients.
//
// [Pipe] serves any handler over real TLS, through memory instead of a kernel's sockets, so that a whole client with
// its WebSocket runs in a bubble of testing/synctest, where an hour of silence takes a millisecond. The network itself
// can be cut, frozen or refuse.
//
// Nothing here takes a *testing.T, and nothing imports the client that is tested with it.
package hubtest
