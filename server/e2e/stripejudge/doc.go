// Package stripejudge holds the sandbox to Stripe's published OpenAPI specs: every answer must pass the
// schemas of two versions that bracket ours (2022-11-15 and 2026-08-26), every request of our client must
// pass the validation of stripe-mock. It is a module of its own so that stripe-mock stays out of the
// product's go.mod.
package stripejudge
