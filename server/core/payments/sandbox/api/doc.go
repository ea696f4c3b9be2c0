// Package api is what the sandbox's endpoints do: one file a resource, and Routes, where an endpoint is
// one line. A handler reads its parameters, asks Form.Done, then works inside the transaction of its
// Call; what it returns is what Stripe would show.
//
// Objects have the shape of version 2023-10-16; Render adds what older callers expect, and expands.
// An error is a *wire.Error when Stripe would answer so. One with Keep commits the work done.
// Every change emits its event and every move of money its journal row, in the same transaction.
package api
