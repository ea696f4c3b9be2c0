// Package wire knows how Stripe writes things down: forms with bracketed names, typed parameters, error
// bodies and ids. It is pure; it knows no route and no table.
//
// Errors are *Error: what Stripe would answer. A parameter that nobody read is unknown, so a handler
// reads all of its parameters and then asks Params.Done.
package wire
