// Package ledger keeps what the sandbox knows: objects, events, the journal of money moves and the
// stored replies of idempotency keys, in tables of its own (object, journal, reply) that it makes
// itself. It knows nothing of HTTP.
//
// Invariants: journal rows are never changed or deleted; a key is used by one transaction at a time.
package ledger
