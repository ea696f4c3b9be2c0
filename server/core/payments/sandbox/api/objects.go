package api

import (
	"context"
	"encoding/json"
	"strings"

	"crema/server/base/fault"
	"crema/server/core/payments/sandbox/ledger"
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
	if e, ok := err.(*wire.Error); ok { //nolint:errorlint // made just above
		err = e.Path()
	}
	return v, o, err
}

// Event is what happened, with the object as it was then.
type Event struct {
	ID              string       `json:"id"`
	Object          string       `json:"object"`
	APIVersion      string       `json:"api_version"`
	Created         int64        `json:"created"`
	Data            EventData    `json:"data"`
	Livemode        bool         `json:"livemode"`
	PendingWebhooks int          `json:"pending_webhooks"`
	Request         EventRequest `json:"request"`
	Type            string       `json:"type"`
}

// EventData is the snapshot and, for updates, what the changed fields were before.
type EventData struct {
	Object             any            `json:"object"`
	PreviousAttributes map[string]any `json:"previous_attributes,omitempty"`
}

// EventRequest is the call that caused the event.
type EventRequest struct {
	ID             string  `json:"id"`
	IdempotencyKey *string `json:"idempotency_key"`
}

// emit stores an event about v.
func (c *Call) emit(ctx context.Context, kind string, v any, previous map[string]any) error {
	prefix := "evt_1"
	if strings.HasPrefix(kind, "charge.") {
		prefix = "evt_3"
	}
	e := Event{
		ID: wire.NewID(prefix, 23), Object: kindEvent, APIVersion: Version, Created: c.Now.Unix(),
		Data: EventData{v, previous}, Request: EventRequest{c.RequestID, text(c.Key)}, Type: kind,
	}
	return c.insert(ctx, kindEvent, e.ID, e, nil)
}

func getEvent(ctx context.Context, c *Call) (any, error) { return c.get(ctx, kindEvent, "id") }

// listEvents takes type ("charge.*" too), types[], created, and delivery_success, which changes nothing:
// nothing waits for delivery.
func listEvents(ctx context.Context, c *Call) (any, error) {
	types := c.Form.List("types")
	if one := c.Form.Text("type"); one != "" {
		types = append(types, one)
	}
	c.Form.Bool("delivery_success", true)
	escape := strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`, `*`, `%`)
	for i := range types {
		types[i] = escape.Replace(types[i])
	}
	return c.page(ctx, ledger.Query{Kind: kindEvent, Types: types})
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
