// Package protocol is the vocabulary of the local protocol, version 1: the messages that the agent and the apps of
// one workstation exchange as JSON-RPC 2.0, one message a line, and the Status that views, scripts and apps read.
//
// It holds shapes, names and their order, and no I/O: ipc carries the messages, bridge and agent decide what they mean.
// docs/local-protocol.md shows an example of every shape; the tests decode each example and encode it again, so
// the manual cannot drift from the types. Members are added, never renamed.
//
// Nothing here keeps state, and all of it may be used from any goroutine.
package protocol

import "log/slog"

// Version is the protocol version that hello carries. An agent and an app of different versions do not talk.
const Version = 1

// MaxLine is the most bytes one line may have, its line end not counted.
const MaxLine = 6 << 20

// Methods that the agent calls at an app.
const (
	MethodEvent = "event" // a context change: Event → EventAnswer
	MethodShown = "shown" // what the app shows now: {} → ShownResult
	MethodClear = "clear" // show no patient: Clear → EventAnswer. An app with the key calls it too: clear all, {} → {}
	// MethodStatus is a notification of the agent (Status), and a request of an app ({} → Status).
	MethodStatus = "status"
)

// Methods that every app may call.
const (
	MethodHello     = "hello"     // the first message: Hello → HelloResult
	MethodContext   = "context"   // {} → ContextResult
	MethodSend      = "send"      // request a context change: SendParams → SendResult
	MethodSubscribe = "subscribe" // change the events wanted: SubscribeParams → {}
)

// Methods that need the key of castray.json, or a rule that grants control.
const (
	MethodLaunch        = "launch"         // LaunchParams → {}
	MethodLaunchAccept  = "launch_accept"  // answers the question of the problem launch_waiting
	MethodLaunchDecline = "launch_decline" // likewise

	MethodSignin     = "signin" // SigninParams → SigninResult
	MethodSignout    = "signout"
	MethodLock       = "lock"
	MethodUserSwitch = "user_switch"
	MethodPause      = "pause"  // PauseParams → {}
	MethodResume     = "resume" // ResumeParams → ResumeResult
	MethodResync     = "resync"
	MethodApps       = "apps" // {} → AppsResult
	MethodQuit       = "quit"
)

// Keys is castray.json in the run folder, new each run. Both are secrets: Key in hello grants control, AppKey admits
// to the loopback WebSocket and the local FHIRcast endpoint and grants nothing else. Port is that of the WebSocket, 0 when it
// is not open. Endpoint is the hub.url of the local FHIRcast endpoint, "" without one.
type Keys struct {
	Key      string `json:"key"`
	AppKey   string `json:"app_key"`
	Port     int    `json:"port,omitempty"`
	Endpoint string `json:"endpoint,omitempty"`
	PID      int    `json:"pid"`
}

// String keeps both keys out of logs and errors.
func (k Keys) String() string { return "keys" }

// GoString keeps both keys out of %#v.
func (k Keys) GoString() string { return "protocol.Keys{...}" }

// LogValue keeps both keys out of slog, whose JSON handler would otherwise write them.
func (k Keys) LogValue() slog.Value { return slog.StringValue(k.String()) }
