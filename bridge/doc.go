// Package bridge holds the one promise of the program: what an app believes is current is the hub's current context, or
// the app and the user have been told that it is out of sync.
//
// A [Relay] owns the clinical context and the apps. It checks what a hub delivers, keeps for each app what the app was
// last told (its belief), brings every app to the context after every change, gathers their answers into the one answer
// to the hub, and asks the hub on their behalf. It leaves the line to the hub to bridge/subscriber, the line to an app to
// whoever gives it a [Sink], and words for people to its caller: a [View] holds codes and facts.
//
// One goroutine, that of [Relay.Run], owns all state. It never blocks: what may take time (writing to an app, asking the
// hub) is done by others that report back. The state itself is a [core] without I/O and without a clock: an input and the
// time go in, effects come out.
package bridge
