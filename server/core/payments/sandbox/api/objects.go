package api

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"math"

	"crema/server/base/fault"
	"crema/server/core/payments/sandbox/ledger"
	"crema/server/core/payments/sandbox/render"
	"crema/server/core/payments/sandbox/wire"
)

// Version is the API version whose shapes the sandbox stores: the one stripe-go v76 pins.
const Version = "2023-10-16"

// The kinds of stored objects.
const (
	kindToken    = "token"
	kindCard     = "card"
	kindCharge   = "charge"
	kindRefund   = "refund"
	kindCustomer = "customer"
	kindEvent    = "event"
	kindDispute  = "dispute"
	kindBalance  = "balance_transaction"
	kindMethod   = "payment_method"
	kindIntent   = "payment_intent"
	kindSession  = "checkout.session"
	kindEndpoint = "webhook_endpoint"
)

// insert stores a new object. hidden may be nil.
func (c *Call) insert(ctx context.Context, kind, id string, data, hidden any) error {
	o := ledger.Object{ID: id, Kind: kind, Created: c.Now.Unix()}
	if err := encode(&o, data, hidden); err != nil {
		return err
	}
	return c.Tx.Insert(ctx, o)
}

// update stores an object that was read with lock.
func (c *Call) update(ctx context.Context, o ledger.Object, data, hidden any) error {
	if err := encode(&o, data, hidden); err != nil {
		return err
	}
	return c.Tx.Update(ctx, o)
}

// encode sets Data, and Hidden unless hidden is nil.
func encode(o *ledger.Object, data, hidden any) (err error) {
	if o.Data, err = json.Marshal(data); err != nil {
		return fault.From(err)
	}
	if hidden != nil {
		o.Hidden, err = json.Marshal(hidden)
	}
	if o.Hidden == nil {
		o.Hidden = json.RawMessage("{}")
	}
	return err
}

// find reads an object; a 400 resource_missing about param when there is none.
func find[T any](ctx context.Context, c *Call, kind, id, param string) (T, ledger.Object, error) {
	o, err := c.Tx.Find(ctx, kind, id)
	return decode[T](o, err, kind, id, param)
}

// lock is find for an object that will be updated.
func lock[T any](ctx context.Context, c *Call, kind, id, param string) (T, ledger.Object, error) {
	o, err := c.Tx.Lock(ctx, kind, id)
	return decode[T](o, err, kind, id, param)
}

func decode[T any](o ledger.Object, err error, kind, id, param string) (v T, _ ledger.Object, _ error) {
	if fault.Is(err, "pg.no_rows") {
		return v, o, wire.NoSuch(kind, id, param)
	}
	if err != nil {
		return v, o, err
	}
	return v, o, stored(json.Unmarshal(o.Data, &v))
}

// get answers GET /v1/<kind>s/:id, which takes no parameters.
func (c *Call) get(ctx context.Context, kind, param string) (any, error) {
	if err := c.Form.Done(); err != nil {
		return nil, err
	}
	o, err := c.Tx.Find(ctx, kind, c.ID)
	if fault.Is(err, "pg.no_rows") {
		return nil, wire.NoSuch(kind, c.ID, param).Path()
	}
	return o.Data, err
}

// lockPath locks the object of the path's id; a 404 when there is none.
func lockPath[T any](ctx context.Context, c *Call, kind, param string) (T, ledger.Object, error) {
	v, o, err := lock[T](ctx, c, kind, c.ID, param)
	return v, o, notFound(err)
}

// notFound makes lock's and find's refusal a 404.
func notFound(err error) error {
	var e *wire.Error
	if errors.As(err, &e) {
		return e.Path()
	}
	return err
}

// text returns nil for "".
func text(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// stored turns an error of reading back our own JSON into a fault; nil stays nil.
func stored(err error) error {
	if err == nil {
		return nil
	}
	return fault.Wrap(err, fault.Internal, "sandbox.stored", "a stored object cannot be read")
}

func unmarshal(raw json.RawMessage, into any) error { return stored(json.Unmarshal(raw, into)) }

// page answers a list endpoint: limit, starting_after, ending_before and created, on top of what q
// selects already.
func (c *Call) page(ctx context.Context, q ledger.Query) (any, error) {
	q.Limit = 10
	if n, ok := c.Form.OptionalInt("limit"); ok {
		if n < 1 || n > 100 {
			c.Form.Refuse(wire.InvalidCode("parameter_invalid_integer", "limit", "Invalid limit: it must be between 1 and 100."))
		}
		q.Limit = int(n)
	}
	q.After, q.Before = c.Form.Text("starting_after"), c.Form.Text("ending_before")
	if q.After != "" && q.Before != "" {
		c.Form.Refuse(wire.Invalid("ending_before", "Give starting_after or ending_before, not both."))
	}
	q.From, q.Until = c.created()
	if err := c.Form.Done(); err != nil {
		return nil, err
	}
	for param, id := range map[string]string{"starting_after": q.After, "ending_before": q.Before} {
		if id == "" {
			continue
		}
		if _, err := c.Tx.Find(ctx, q.Kind, id); fault.Is(err, "pg.no_rows") {
			return nil, wire.NoSuch(q.Kind, id, param)
		} else if err != nil {
			return nil, err
		}
	}
	objects, more, err := c.Tx.List(ctx, q)
	return render.NewList(c.Path, objects, more), err
}

// created reads created=, or created[gt|gte|lt|lte]=, as inclusive bounds.
func (c *Call) created() (from, until int64) {
	until = math.MaxInt64
	if !c.Form.IsGroup("created") {
		if at, ok := c.Form.OptionalInt("created"); ok {
			return at, at
		}
		return from, until
	}
	g := c.Form.Group("created")
	for _, bound := range []struct {
		name string
		into *int64
		off  int64
	}{{"gt", &from, 1}, {"gte", &from, 0}, {"lt", &until, -1}, {"lte", &until, 0}} {
		if n, ok := g.OptionalInt(bound.name); ok {
			*bound.into = n + bound.off
		}
	}
	return from, until
}

func readShipping(f *wire.Params) *Shipping {
	g := f.Group("shipping")
	s := &Shipping{
		Address: readAddress(g), Carrier: g.Optional("carrier"), Name: g.Optional("name"),
		Phone: g.Optional("phone"), TrackingNumber: g.Optional("tracking_number"),
	}
	if !f.IsGroup("shipping") {
		return nil
	}
	return s
}

func readAddress(f *wire.Params) Address {
	g := f.Group("address")
	return Address{
		City: g.Optional("city"), Country: g.Optional("country"), Line1: g.Optional("line1"),
		Line2: g.Optional("line2"), PostalCode: g.Optional("postal_code"), State: g.Optional("state"),
	}
}

// checkMetadata refuses more than 50 keys, keys over 40 characters and values over 500.
func checkMetadata(f *wire.Params, m map[string]string) {
	if len(m) > 50 {
		f.Refuse(wire.Invalid("metadata", "You can have at most 50 metadata keys."))
	}
	for k, v := range m {
		if len([]rune(k)) > 40 || len([]rune(v)) > 500 {
			f.Refuse(wire.Invalid("metadata", "Metadata keys may have 40 characters and values 500; %.40q has more.", k))
		}
	}
}

// merge sets the given keys; an empty text removes its key, and metadata= removes all.
func merge(f *wire.Params, old, given map[string]string) map[string]string {
	merged := map[string]string{}
	if !f.Has("metadata") || f.IsGroup("metadata") {
		maps.Copy(merged, old)
	}
	for k, v := range given {
		merged[k] = v
		if v == "" {
			delete(merged, k)
		}
	}
	return merged
}
