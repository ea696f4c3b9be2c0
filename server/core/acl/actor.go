package acl

import "context"

// KeyKind says which key a request carried.
type KeyKind string

// The kinds of key.
const (
	NoKey     KeyKind = ""
	ClientKey KeyKind = "client"
	MasterKey KeyKind = "master"
)

// Actor is who a request acts for. The zero Actor is an anonymous caller without a key.
type Actor struct {
	UserID string   // "" when nobody is logged in; the master key without _user_id acts as "_god"
	Roles  []string // of the user
	Key    KeyKind
	// Address is the network address of the client, "" when it is not known. No verdict depends on it;
	// limits count by it.
	Address string
}

// Master says whether the actor holds the master key and so passes every check.
func (a Actor) Master() bool { return a.Key == MasterKey }

// God is the pseudo user that the master key acts as when it names nobody.
const God = "_god"

type actorKey struct{}

// WithActor returns a context that carries the actor.
func WithActor(ctx context.Context, a Actor) context.Context {
	return context.WithValue(ctx, actorKey{}, a)
}

// FromContext returns the actor of ctx, or the anonymous one.
func FromContext(ctx context.Context) Actor {
	a, _ := ctx.Value(actorKey{}).(Actor)
	return a
}
