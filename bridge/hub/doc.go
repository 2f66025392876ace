// Package hub is a FHIRcast 3.0.0 Hub as an http.Handler: subscriptions over WebSocket, context changes, the current
// context, shared content, SyncErrors. The sandbox serves it, tests run against it, and it is good enough to be shown to
// people. Where the standard leaves something to a hub, or a profile such as IHE's IRA wants more, [Rules] decide. For
// subscribers of versions before 3.0.0 it can have [Webhooks].
//
// It leaves to others: TLS (it is served behind it, and hands out wss addresses only), who may do what (it asks
// [Config].Authorize), where sessions are kept ([Store]) and misbehaving (package hubtest).
//
// State is guarded by one lock, held for no longer than it takes to change a session and queue frames, never while a
// socket is read or written or a callback is called. Each socket has a goroutine that reads (the request's own) and one
// that writes and keeps its times, each webhook has one; they end with the subscription, and [Hub.Close] waits for them.
package hub
