package skygear

import (
	"context"
	"net/http"

	"crema/server/core/acl"
	"crema/server/core/records"
	"crema/server/web"
)

// call is one request of the wire.
type call struct {
	params      records.Params
	credentials web.Credentials
}

// handler answers a call whose caller is in ctx.
type handler func(ctx context.Context, w http.ResponseWriter, c call) error

// who says what an action asks of its caller. Wire: the chains of the action list.
type who int

const (
	anybody  who = iota // no check at all
	keyed               // an API key or a token; a user if there is one
	loggedIn            // a user, or the master key
)

type action struct {
	who who
	run handler
}

func (d *Door) table() map[string]action {
	return map[string]action{
		"":                {anybody, status},
		"_status:healthz": {anybody, status},
		"record:fetch":    {keyed, d.fetch},
		"record:query":    {keyed, d.query},
		"record:save":     {loggedIn, d.save},
		"record:delete":   {loggedIn, d.delete},
	}
}

func (a action) serve(g *web.Gate) handler {
	return func(ctx context.Context, w http.ResponseWriter, c call) error {
		ctx, err := a.admit(ctx, g, c.credentials)
		if err != nil {
			return err
		}
		return a.run(ctx, w, c)
	}
}

func (a action) admit(ctx context.Context, g *web.Gate, c web.Credentials) (context.Context, error) {
	if a.who == anybody {
		return ctx, nil
	}
	actor, err := g.Authenticate(c)
	if err != nil {
		return nil, err
	}
	complete := g.Inject
	if a.who == loggedIn {
		complete = g.Require
	}
	if actor, err = complete(ctx, actor); err != nil {
		return nil, err
	}
	return acl.WithActor(ctx, actor), nil
}

func status(_ context.Context, w http.ResponseWriter, _ call) error {
	web.WriteRaw(w, http.StatusOK, []byte("{\"result\":{\"status\":\"OK\"}}\n"))
	return nil
}
