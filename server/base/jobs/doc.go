// Package jobs is a durable queue on PostgreSQL. Work is put in by the transaction that wants it done,
// so it is there exactly when that transaction commits, and is done by any server that knows its kind.
//
// Way in: New, Handle for every kind, Start; Enqueue inside a transaction. Table: app._job.
//
// Invariants: a job runs until its handler succeeds, at least once, and again only after a failure, a
// crash, or a server that lost touch with the database for longer than a lease; handlers must bear being
// run twice. A server holds a lease on a job and renews it while the handler runs; when the server dies,
// another one takes the job over once the lease has ended. A failed try is repeated later and later;
// after the last one the job is dead: it stays in the table, with its error, until it is revived or
// thirty days old. A try that a crash cut short counts, so a job that kills servers ends.
package jobs
