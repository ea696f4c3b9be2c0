// Package records saves, finds, reads and deletes records for whoever acts.
//
// Way in: Service.Save, Fetch, Query, Delete; Decode* turn the parameters of the wire into requests and
// AppendJSON writes a record in its wire form; ForFunctions is what cloud functions get. The actor comes
// from acl.FromContext. Tables: one per record type (package schema makes them); queries ask app._friend
// and app._follow who is related to the actor.
//
// Invariants: a save is one statement per record type and decides access inside that statement; every
// statement compares the version of the schema it was made for; only the sent fields change; fields that the actor
// may not read never leave; one bad record of a batch never spoils the others unless the batch is
// atomic; records of type user are never deleted. Wire: skygear §3.
package records
