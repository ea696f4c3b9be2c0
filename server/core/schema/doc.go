// Package schema knows the record types of an app and their columns, and makes new ones.
//
// Way in: Service.Current for the picture of now, Service.Ensure for "these fields must exist",
// Service.Rename and Delete for a field, Service.Set... for the rules about types and fields.
// A record type is a table of the app's schema whose name does not start with "_"; the catalogue of
// PostgreSQL is the only truth. A Snapshot of it is kept in memory and never changes. Whoever changes
// types or rules raises app._schema_version in the same transaction and notifies the other servers;
// statements on records also compare the version, so a late notice costs a retry, no error.
//
// Invariants: changes happen one after another (the version row is locked); nothing is ever altered,
// widened or dropped by Ensure; what the server itself needs (_schema_kept) stays and is written by it alone; names are at most 63 bytes, which PostgreSQL would cut silently; tables
// that start with "_" cannot be reached. A new table gets indexes on _owner_id, _created_at and
// _access at once. It gets no trigger that notes changes: that would write a row per save which nobody
// reads; package push attaches it to types with a subscription, and OnCreate tells it of new ones.
//
// Tables: app._schema_version, _schema_kept, _record_creation, _record_default_access,
// _record_field_access; adds to app._role the roles that rules name.
package schema
