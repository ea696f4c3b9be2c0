// Package acl decides who may read and write a record.
//
// Actor is who asks; Access is the list a record carries in its column _access. Allows gives the
// verdict in Go, Where gives the same verdict as an SQL condition; a fuzz test holds them equal.
// FieldRule narrows single fields; AllowsField decides. The package has no tables.
//
// Semantics follow Skygear v1: nil means everybody reads and any user writes, an empty list means owner
// only, the owner and the master key may always do everything.
package acl
