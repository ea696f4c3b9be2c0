package api

import (
	"context"
	"strings"

	"crema/server/core/payments/sandbox/ledger"
	"crema/server/core/payments/sandbox/wire"
)

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
	o := ledger.Object{ID: e.ID, Created: e.Created}
	if err := encode(&o, e, nil); err != nil {
		return err
	}
	return c.Tx.InsertEvent(ctx, o, kind)
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
