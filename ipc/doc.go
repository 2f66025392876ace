// Package ipc carries the local protocol between the agent and the apps of one user on one workstation: a Unix socket
// or a Windows named pipe, the loopback WebSocket beside it, the question who is at the other end, and JSON-RPC 2.0 with
// one message a line, or a text frame.
//
// It leaves to others what the messages mean: ipc/protocol has their shapes, bridge decides what an app may ask for.
// It never learns FHIRcast. Who else has to listen on the loopback asks AdmitLoopback who is there.
//
// A Listener admits peers of the same user (on Windows also of the same logon session) before a byte of theirs is
// read. A Conn has one reading goroutine, the one that calls Serve; it alone parses lines and settles answers.
// Everything else that a Conn does may be called from any goroutine. Apps cannot be fixed by us, so half lines, CRLF,
// readers that nap, endless lines, floods and rubbish cost only the connection that they come from.
package ipc
