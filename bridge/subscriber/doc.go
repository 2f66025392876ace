// Package subscriber holds one subscription at one hub, keeps it alive and proves that it is: subscribe, socket,
// confirmation, answers, renewal, silence, and coming back after a loss (FHIRcast 3.0.0, 2.4 to 2.7 and 2.9).
//
// It tells a [Handler] what happens, in the order of the socket, and judges nothing: which event is current, stale or
// foreign, and what to answer, is the relay's. Sleep, network changes and the user's wishes are the agent's, who calls
// [Client.Reconnect]. Tokens are nobody's here: requests are made with an *http.Client that signs.
//
// One goroutine, the one in [Client.Run], owns the subscription. What may happen in which state is the pure function
// step; the goroutine turns facts into its inputs, does the effects, and logs each transition once. Connections are
// numbered, and what an older one says late is dropped. After a loss there is always a fresh subscription: the hub
// repeats nothing, so a new number means "read the context again".
//
// How a hub is asked is read from a fhircast.Dialect, never from a version: what the hub says of itself, and over it the
// quirks that are configured. A way to the hub may lead through a proxy, which learns the hub's host and nothing else.
//
// Where the specification leaves room, this is what happens here:
//
//   - Events before the confirmation are held and delivered after it. When an event of our topic has been held for 8 s,
//     it counts as one, for what was asked, so that the hub has its answer in time. When 10 s have passed with neither,
//     the socket is given up.
//   - A lease that the hub does not name is taken to be one hour.
//   - A renewal that names another socket address is a new subscription: its socket is connected and confirmed first,
//     [Handler] hears Subscribed with the next number and no Lost, then the old socket is closed.
//   - While a frame is on its way only its bytes are life, by the KiB; whole it has to be within two minutes.
//   - A hub that has no sockets calls a port of this computer, where it has to be itself (FHIRcast STU2, 2.4 and 2.5). There
//     is nothing to ping: the hub is asked for its configuration every 10 s, on one connection, and it agrees to the
//     webhook anew every minute or so. With 25 s of silence, nobody at its port, or a kept connection that has ended
//     without a word, it is lost. What it cannot be seen to do is to forget us and nobody else.
//   - 401 and 403 to a subscribe are tried once more, no sooner than 30 s later, and believed the second time. Other
//     4xx but 408, 425 and 429 are believed at once.
package subscriber
