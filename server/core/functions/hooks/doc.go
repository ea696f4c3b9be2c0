// Package hooks runs functions around saves and deletes of records.
//
// Way in: New, Service.Connect; records.Service calls Save, SaveTogether (sign-ups) and Delete.
//
// Invariants:
//   - No transaction is open while a hook runs: all hooks before a request run first, then the request, then the
//     hooks after it. So an error of a hook after a save comes although the record is stored; that of an atomic
//     request, which is done as a whole, is only logged.
//   - A hook before a save sees the record as it will be written, without what the caller may not change. What
//     it changes in fields and access is written, whatever the rules about fields say of the caller; who owns
//     the record and when it was made is not its business, and neither is its id.
//   - Only what the caller or a hook changed is written, so that what somebody else writes to other fields
//     meanwhile stays.
//   - Hooks run in the order of their registration; the first error ends them for that record.
//   - A caller who may not write a record runs no hook on it.
//   - Hooks that nobody waits for run a few at a time, and wait for workers; they are kept in memory only.
package hooks
