// Package sandbox is the place where Castray is shown, tested and connected to for the first time: a sign-in server, a
// FHIR server, a FHIRcast hub and a small EHR page, on one loopback TLS listener with a certificate authority that lives
// as long as the process. Everybody in it is invented.
//
// It leaves signing in to oauth/oauthtest and sessions to bridge/hub, and adds the patients, the FHIR server, the page
// and the files that an agent needs. It never sees the agent, which is tested against it.
//
// Everyone who can reach the port on this machine may use the page and sign in as anybody. That is its purpose; it is no
// server for real users.
//
// The records do not change. What does is owned by the hub and the sign-in server; a [Sandbox] may be used from any
// goroutine.
package sandbox
