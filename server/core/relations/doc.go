// Package relations keeps who is whose friend and who follows whom.
//
// Way in: Service.Query, Add, Remove. The actor comes from acl.FromContext and must be a user; pairs are
// directed, from the actor to somebody. Records asks by these pairs too, in the predicate userRelation.
// Tables: app._friend, app._follow; reads app._auth.
//
// Invariants: only the actor's own pairs change; adding a pair that is there changes nothing; what comes
// along of a user's record is what the actor may read of it.
package relations
