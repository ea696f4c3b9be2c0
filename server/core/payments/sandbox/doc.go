// Package sandbox is the offline Stripe: the part of Stripe's HTTP interface that a shop needs, with
// test cards only, answered from PostgreSQL. No money moves.
//
// Way in: New, then Listen for clients with a secret key (stripe-go, or Stripe's libraries in user
// functions) and Browser for pages, which may only make card tokens. GET /_sandbox/journal and
// POST /_sandbox/faults, with the admin token, are for tests.
//
// Below it: wire (Stripe's forms, errors and ids), cards (test cards and what happens to them), ledger
// (the tables, in a schema of the sandbox's own beside the app's) and api (one file a resource, and the
// table of routes). A new endpoint is one line in api.Routes and a function in its resource's file.
//
// Invariants: one call is one transaction: object, event, journal and the stored reply of an
// idempotency key commit together. The journal is append-only and holds every move of money. No card
// number is stored or logged, and only Stripe's published test numbers are accepted.
package sandbox
