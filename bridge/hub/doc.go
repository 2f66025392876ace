// Package hub is a FHIRcast 3.0.0 Hub as an http.Handler: subscriptions over WebSocket, context changes, the current
// context, SyncErrors. The sandbox serves it, tests run against it, and it is good enough to be shown to people.
//
// It leaves to others: TLS (it is served behind it, and hands out wss addresses only), who may do what (it asks
// [Config].Authorize), where sessions are kept ([Store]) and misbehaving (package hubtest).
//
// What it does not offer, it refuses and does not advertise: content sharing (-update and -select events, version ids)
// and derived events. A hub that passed updates on without keeping versions would break a promise of the standard to
// those who rely on it, so such a request is answered 400.
//
// State is guarded by one lock, held for no longer than it takes to change a session and queue frames, never while a
// socket is written. Each socket has a goroutine that reads (the request's own) and one that writes and keeps its
// times; both end with the socket, and [Hub.Close] waits for them.
package hub
