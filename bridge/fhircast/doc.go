// Package fhircast is the vocabulary of FHIRcast 3.0.0: events and their names, what a hub says on its socket, what a
// Subscriber answers, the current context, scopes.
//
// It reads generously and writes strictly. [Decode] takes one frame in one validating pass and accepts the shapes that
// older versions of the specification and hubs in the field print; [Encode] lets out only what version 3.0.0 allows. How a
// hub of another version, or with habits of its own, is spoken to is data: a [Dialect]. Nothing else asks for a version.
// Resources stay the bytes they came as: what is never decoded cannot be spilled, and nothing is lost on the way through.
//
// There is no I/O here and no state. Values are immutable once made and may be shared between goroutines, except a
// [Delivery], which has one owner at a time but whose answer may come from any goroutine.
package fhircast
