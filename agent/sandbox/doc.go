// Package sandbox is the place where Castray is shown, tested and connected to for the first time: a sign-in server, a
// FHIR server, a FHIRcast hub and a small EHR page, on one loopback TLS listener with a certificate authority that lives
// as long as the process.
package sandbox
