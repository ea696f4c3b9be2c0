// Package sandbox is the offline Stripe: the part of Stripe's HTTP interface that a shop needs, with
// test cards only, answered from PostgreSQL. No money moves.
//
// Way in: New, then Listen for clients with a secret key (stripe-go, or Stripe's libraries in user
// functions), Browser for pages (card tokens, hosted checkout, 3-D Secure), and Start, which delivers
// webhooks; Endpoint says where to. /_sandbox/*, with the admin token, is for tests: see controls.
//
// Below it: wire (Stripe's forms, errors and ids), cards (test cards and what happens to them), ledger
// (the tables, in a schema of the sandbox's own beside the app's), api (one file a resource, and the table
// of routes), render (answers in the caller's version) and pages (HTML). A new endpoint is one line in
// api.Routes and a function in its resource's file.
//
// Invariants: one call is one transaction: object, event, deliveries, journal and the stored reply of an
// idempotency key commit together. The journal is append-only and holds every move of money. A session is
// charged once, however often its button is pressed. No card number is stored or logged, and only
// Stripe's published test numbers are accepted. Servers on one database share state, clock and
// deliveries; faults are of one process and forgotten with it.
package sandbox
