// Package hub is a FHIRcast 3.0.0 Hub as an http.Handler: subscriptions over WebSocket, context changes, the current
// context, SyncErrors. The sandbox serves it, tests run against it, and it is good enough to be shown to people.
//
// It leaves to others: TLS (it is served behind it, and hands out wss addresses only), who may do what (it asks
// [Config].Authorize), where sessions are kept ([Store]) and misbehaving (package hubtest).
//
// Content sharing (-update and -select events, version ids) it does not offer: it does not advertise it, and answers such
// a request 400. Passed on without keeping versions, an update would break a promise of the standard to those who rely
// on it. Nor does it derive opens from others (experimental in 3.0.0, 2.5): who wants an event asks for it.
//
// State is guarded by one lock, held for no longer than it takes to change a session and queue frames, never while a
// socket is read or written. Each socket has a goroutine that reads (the request's own) and one that writes and keeps
// its times; both end with the socket, and [Hub.Close] waits for them.
package hub
