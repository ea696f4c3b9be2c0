// Package functions is the room of cloud functions: it knows which exist, checks their arguments, runs
// them with a deadline, and remembers answers for an Idempotency-Key.
//
// Way in: New, Service.Lookup, Service.Invoke, Service.InvokeOnce. The caller is the acl.Actor of ctx.
// Compile and Switch put other functions in the place of all that are there, between two calls.
//
// Table: _function_answer, one row per function, caller and key, kept for 24 h.
//
// Invariants:
//   - A function never sees arguments that its input struct does not describe.
//   - A deadline holds for the caller even when the function ignores ctx: the goroutine is left to end
//     by itself, counted by Abandoned and logged. A panic ends one call, never the server.
//   - With a key, at most one run is going on at a time over all servers. Its result, or its refusal, is
//     stored before anybody gets it. Failures of ours (internal, timeout, unavailable) are not stored.
//   - A server that dies leaves a lease that ends after 15 s; then the key may run again, so code that
//     got half-way must be idempotent by itself. The key alone protects against doubles, not against that.
//   - An answer over 1 MiB is given once but not kept: later calls with the key are refused, not run.
package functions
