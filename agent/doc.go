// Package agent puts the parts together and owns the one word for how things are: the phase of its Status.
//
// It signs in (package oauth), when the user asks or an EHR launches it, holds a subscription with what the sign-in gave
// (bridge/subscriber), lets apps in at the local pipe and the loopback WebSocket (package ipc), and joins both sides in a bridge.Relay, which owns the clinical context. Views such as a tray
// are told a protocol.Status and ask for the same things that a script may ask for, through [Agent.Do].
//
// One goroutine, that of [Agent.Run], owns who is signed in, the subscription's life and the phase. Others post to it or
// read the last Status.
package agent
