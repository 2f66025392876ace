// Package desktop is what the operating system around us says: which proxy leads out of this network, which network this
// is, where the session bus is, and when the screen is locked.
//
// Each question has one file of decisions, tested on every machine, and beside it thin files named by platform that only
// ask the system. It leaves to the agent what to do about an answer.
//
// A [Proxies] owns what it remembers and may be asked from any goroutine; everything else here has no state.
package desktop
