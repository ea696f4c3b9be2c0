// Package fault is the one error type of the server.
//
// An error is made once, where it is known, as an *Error. Above that place it is only wrapped with %w.
// Code is one of a closed set and decides, in one table of package web, what every door answers.
// Reason is open, dotted and unique ("records.schema_conflict") and is what code and tests compare.
// Message is safe to show to whoever sent the request. The cause is for the log only.
// An error that is not an *Error is internal: the client gets an id, the log gets the chain.
package fault
