package api

import (
	"context"
	"math"
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

// listEvents takes type ("charge.*" too), types[], created, and delivery_success: whether every endpoint
// that wanted the event has got it.
func listEvents(ctx context.Context, c *Call) (any, error) {
	types := c.Form.List("types")
	if one := c.Form.Text("type"); one != "" {
		types = append(types, one)
	}
	q := ledger.Query{Kind: kindEvent}
	if c.Form.Text("delivery_success") != "" {
		none := map[string]any{"pending_webhooks": 0}
		if c.Form.Bool("delivery_success", true) {
			q.Where = none
		} else {
			q.Except = none
		}
	}
	escape := strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`, `*`, `%`)
	for _, t := range types {
		q.Types = append(q.Types, escape.Replace(t))
	}
	return c.page(ctx, q)
}

// Endpoint is where events are delivered to. Its secret is in the answer to its creation only.
type Endpoint struct {
	ID            string            `json:"id"`
	Object        string            `json:"object"`
	APIVersion    *string           `json:"api_version"`
	Application   *string           `json:"application"`
	Created       int64             `json:"created"`
	Description   *string           `json:"description"`
	EnabledEvents []string          `json:"enabled_events"`
	Livemode      bool              `json:"livemode"`
	Metadata      map[string]string `json:"metadata"`
	Secret        string            `json:"secret,omitempty"`
	Status        string            `json:"status"`
	URL           string            `json:"url"`
}

func createEndpoint(ctx context.Context, c *Call) (any, error) {
	f := c.Form
	e := Endpoint{
		ID: wire.NewID("we_1", 23), Object: kindEndpoint, Created: c.Now.Unix(), Metadata: map[string]string{}, Status: "enabled",
		APIVersion: f.Optional("api_version"),
	}
	for _, name := range []string{"url", "enabled_events"} {
		if !f.Has(name) {
			f.Refuse(wire.InvalidCode("parameter_missing", name, "Missing required param: %s.", name))
		}
	}
	if v := e.APIVersion; v != nil && (len(*v) < 10 || (*v)[4] != '-' || (*v)[7] != '-') {
		f.Refuse(wire.Invalid("api_version", "Invalid Stripe API version: %.40s", *v))
	}
	f.Bool("connect", false)
	readEndpoint(f, &e)
	if err := f.Done(); err != nil {
		return nil, err
	}
	if err := c.addEndpoint(ctx, e); err != nil {
		return nil, err
	}
	e.Secret = c.Secret(e.ID)
	return e, nil
}

func readEndpoint(f *wire.Params, e *Endpoint) {
	set(f, "description", &e.Description, f.Optional("description"))
	if f.Has("url") {
		e.URL = f.Required("url")
		checkURL(f, "url", e.URL)
		if !strings.HasPrefix(e.URL, "http://") && !strings.HasPrefix(e.URL, "https://") {
			f.Refuse(wire.InvalidCode("url_invalid", "url", "Not a valid URL: url must begin with http:// or https://."))
		}
	}
	if f.Has("enabled_events") {
		e.EnabledEvents = f.List("enabled_events")
		if len(e.EnabledEvents) == 0 {
			f.Refuse(wire.InvalidCode("parameter_invalid_empty", "enabled_events", "Name at least one type of event, or * for all."))
		}
	}
	metadata := f.Texts("metadata")
	checkMetadata(f, metadata)
	e.Metadata = merge(f, e.Metadata, metadata)
	if f.Has("disabled") {
		e.Status = map[bool]string{true: "disabled", false: "enabled"}[f.Bool("disabled", false)]
	}
}

func getEndpoint(ctx context.Context, c *Call) (any, error) { return c.get(ctx, kindEndpoint, "id") }

func listEndpoints(ctx context.Context, c *Call) (any, error) {
	return c.page(ctx, ledger.Query{Kind: kindEndpoint})
}

func updateEndpoint(ctx context.Context, c *Call) (any, error) {
	e, o, err := lockPath[Endpoint](ctx, c, kindEndpoint, "id")
	if err != nil {
		return nil, err
	}
	readEndpoint(c.Form, &e)
	if err := c.Form.Done(); err != nil {
		return nil, err
	}
	if err := c.update(ctx, o, e, nil); err != nil {
		return nil, err
	}
	return e, c.wants(ctx, e)
}

func (c *Call) addEndpoint(ctx context.Context, e Endpoint) error {
	if err := c.insert(ctx, kindEndpoint, e.ID, e, nil); err != nil {
		return err
	}
	return c.wants(ctx, e)
}

// wants lets the ledger know which events an endpoint gets.
func (c *Call) wants(ctx context.Context, e Endpoint) error {
	if e.Status != "enabled" {
		return c.Tx.SetEndpoint(ctx, e.ID, nil)
	}
	return c.Tx.SetEndpoint(ctx, e.ID, e.EnabledEvents)
}

func deleteEndpoint(ctx context.Context, c *Call) (any, error) {
	if err := c.Form.Done(); err != nil {
		return nil, err
	}
	if _, _, err := lockPath[Endpoint](ctx, c, kindEndpoint, "id"); err != nil {
		return nil, err
	}
	return Deleted{c.ID, kindEndpoint, true}, c.Tx.DropEndpoint(ctx, kindEndpoint, c.ID)
}

// OwnEndpoint begins the ids of the endpoints that EnsureEndpoint makes.
const OwnEndpoint = "we_1ShopsOwn"

// EnsureEndpoint returns the enabled endpoint with this URL, made with all events where it is missing.
func EnsureEndpoint(ctx context.Context, c *Call, url string) (Endpoint, error) {
	if err := c.Tx.Alone(ctx, kindEndpoint); err != nil {
		return Endpoint{}, err
	}
	own := map[string]string{"made_by": "the sandbox"}
	found, _, err := c.Tx.List(ctx, ledger.Query{
		Kind: kindEndpoint, Where: map[string]any{"url": url, "status": "enabled", "metadata": own}, Until: math.MaxInt64, Limit: 1,
	})
	if err != nil {
		return Endpoint{}, err
	}
	if len(found) > 0 {
		e, _, err := decode[Endpoint](found[0], nil, kindEndpoint, found[0].ID, "url")
		return e, err
	}
	version := Version
	e := Endpoint{
		ID: wire.NewID(OwnEndpoint, 15), Object: kindEndpoint, APIVersion: &version, Created: c.Now.Unix(), EnabledEvents: []string{"*"},
		Metadata: own, Status: "enabled", URL: url,
	}
	return e, c.addEndpoint(ctx, e)
}
