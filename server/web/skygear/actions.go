package skygear

import (
	"context"
	"maps"
	"net/http"

	"crema/server/base/fault"
	"crema/server/core/acl"
	"crema/server/core/records"
	"crema/server/web"
)

// call is one request of the wire.
type call struct {
	params      records.Params
	credentials web.Credentials
	caller      web.Caller // as far as the chain has come
}

// handler answers a call whose caller is in ctx.
type handler func(ctx context.Context, w http.ResponseWriter, c call) error

type action struct {
	chain chain
	run   handler
}

// check is one step of a chain: it completes the caller of c, or refuses it.
type check func(ctx context.Context, d *Door, c *call) error

// chain is what an action asks of its caller. The checks run in their order and the first failure
// answers. Wire: skygear §1.3, whose letters stand behind the chains.
type chain []check

var (
	anybody     = chain{}                                                 // no check at all
	gated       = chain{ready}                                            // Rdy
	keyed       = chain{accessKey, ready}                                 // K Rdy
	masterKeyed = chain{accessKey, ready, master}                         // K Rdy M
	developer   = chain{accessKey, developerOnly, database, ready}        // K Dev D Rdy
	tokened     = chain{authenticate, ready}                              // A Rdy
	optional    = chain{authenticate, inject, ready}                      // A I Rdy
	admin       = chain{authenticate, inject, administrator, ready}       // A I Adm Rdy
	reader      = chain{authenticate, inject, database, verified, ready}  // A I D V Rdy
	loggedIn    = chain{authenticate, require, database, verified, ready} // A R D V Rdy
	whole       = chain{authenticate, require, userRecord, ready}         // A R U Rdy: the account has its user record
	renewing    = chain{authenticate, requireOld, userRecord, ready}      // A R* U Rdy: the password may have expired
)

// table merges the actions of every file.
func (d *Door) table() map[string]action {
	all := map[string]action{"": {anybody, status}, "_status:healthz": {gated, status}}
	for _, some := range []map[string]action{
		d.authActions(), d.roleActions(), d.recordActions(), d.schemaActions(), d.relationActions(), d.assetActions(), d.pushActions(),
	} {
		maps.Copy(all, some)
	}
	return all
}

func (d *Door) serve(a action) handler {
	return func(ctx context.Context, w http.ResponseWriter, c call) error {
		for _, check := range a.chain {
			if err := check(ctx, d, &c); err != nil {
				return err
			}
		}
		return a.run(acl.WithActor(ctx, c.caller.Actor), w, c)
	}
}

func accessKey(_ context.Context, d *Door, c *call) (err error) {
	c.caller, err = d.c.Gate.Keyed(c.credentials)
	return err
}

func authenticate(ctx context.Context, d *Door, c *call) (err error) {
	c.caller, err = d.c.Gate.Authenticate(ctx, c.credentials)
	return err
}

func inject(ctx context.Context, d *Door, c *call) (err error) {
	c.caller, err = d.c.Gate.Inject(ctx, c.caller)
	return err
}

func require(ctx context.Context, d *Door, c *call) (err error) {
	c.caller, err = d.c.Gate.Require(ctx, c.caller)
	return err
}

func requireOld(ctx context.Context, d *Door, c *call) (err error) {
	c.caller, err = d.c.Gate.RequireOld(ctx, c.caller)
	return err
}

func verified(ctx context.Context, d *Door, c *call) error { return d.c.Gate.Verify(ctx, c.caller) }

func userRecord(ctx context.Context, d *Door, c *call) error {
	return d.c.Gate.RequireRecord(ctx, c.caller)
}

// database checks what the call says of its database. Wire: skygear §1.4.
func database(_ context.Context, _ *Door, c *call) error {
	return records.CheckDatabase(c.caller.Actor, records.Text(c.params, "database_id"))
}

// ready comes where it stands in the reference's chains, so that a caller without credentials hears that first.
func ready(_ context.Context, d *Door, c *call) error { return d.c.Gate.Ready(c.caller, c.credentials) }

func master(_ context.Context, _ *Door, c *call) error {
	if c.caller.Master() {
		return nil
	}
	return fault.New(fault.Unprivileged, "web.master_only", "this needs the master key")
}

func administrator(_ context.Context, _ *Door, c *call) error {
	switch {
	case c.caller.Admin():
		return nil
	case c.caller.UserID == "":
		return fault.New(fault.Unauthenticated, "web.user_required", "log in first, or use the master key")
	}
	return fault.New(fault.Unprivileged, "web.admin_only", "this needs a user with an admin role, or the master key")
}

func developerOnly(_ context.Context, d *Door, c *call) error {
	if d.c.DevMode || c.caller.Master() {
		return nil
	}
	return fault.New(fault.Denied, "web.developer_only", "this needs the master key, because DEV_MODE is off")
}

func status(_ context.Context, w http.ResponseWriter, _ call) error {
	web.WriteRaw(w, http.StatusOK, []byte("{\"result\":{\"status\":\"OK\"}}\n"))
	return nil
}
