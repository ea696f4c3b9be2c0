package api

import (
	"context"

	"crema/server/core/payments/sandbox/cards"
	"crema/server/core/payments/sandbox/ledger"
	"crema/server/core/payments/sandbox/wire"
)

// Customer keeps a card for later.
type Customer struct {
	ID                  string            `json:"id"`
	Object              string            `json:"object"`
	Address             *Address          `json:"address"`
	Balance             int64             `json:"balance"`
	Created             int64             `json:"created"`
	Currency            *string           `json:"currency"`
	DefaultSource       *string           `json:"default_source"`
	Deleted             bool              `json:"deleted,omitempty"`
	Delinquent          bool              `json:"delinquent"`
	Description         *string           `json:"description"`
	Discount            *string           `json:"discount"`
	Email               *string           `json:"email"`
	InvoicePrefix       string            `json:"invoice_prefix"`
	InvoiceSettings     InvoiceSettings   `json:"invoice_settings"`
	Livemode            bool              `json:"livemode"`
	Metadata            map[string]string `json:"metadata"`
	Name                *string           `json:"name"`
	NextInvoiceSequence int64             `json:"next_invoice_sequence"`
	Phone               *string           `json:"phone"`
	PreferredLocales    []string          `json:"preferred_locales"`
	Shipping            *Shipping         `json:"shipping"`
	TaxExempt           string            `json:"tax_exempt"`
	TestClock           *string           `json:"test_clock"`
}

// InvoiceSettings is always empty: the sandbox makes no invoices.
type InvoiceSettings struct {
	CustomFields         *string `json:"custom_fields"`
	DefaultPaymentMethod *string `json:"default_payment_method"`
	Footer               *string `json:"footer"`
	RenderingOptions     *string `json:"rendering_options"`
}

// Deleted is what remains of a customer.
type Deleted struct {
	ID      string `json:"id"`
	Object  string `json:"object"`
	Deleted bool   `json:"deleted"`
}

func createCustomer(ctx context.Context, c *Call) (any, error) {
	u := Customer{
		ID: wire.NewID("cus_", 14), Object: kindCustomer, Created: c.Now.Unix(), InvoicePrefix: wire.NewID("", 8),
		Metadata: map[string]string{}, NextInvoiceSequence: 1, PreferredLocales: []string{}, TaxExempt: "none",
	}
	source := readCustomer(c.Form, &u)
	if err := c.Form.Done(); err != nil {
		return nil, err
	}
	if err := c.attach(ctx, &u, source); err != nil {
		return nil, err
	}
	if err := c.insert(ctx, kindCustomer, u.ID, u, nil); err != nil {
		return nil, err
	}
	return u, c.emit(ctx, "customer.created", u, nil)
}

// readCustomer changes what was sent and returns the token in source.
func readCustomer(f *wire.Params, u *Customer) (source string) {
	set(f, "description", &u.Description, f.Optional("description"))
	set(f, "email", &u.Email, email(f, "email"))
	set(f, "name", &u.Name, f.Optional("name"))
	set(f, "phone", &u.Phone, f.Optional("phone"))
	if f.Has("address") {
		a := readAddress(f)
		u.Address = &a
	}
	if f.Has("shipping") {
		u.Shipping = readShipping(f)
	}
	if f.Has("preferred_locales") {
		u.PreferredLocales = append([]string{}, f.List("preferred_locales")...)
	}
	metadata := f.Texts("metadata")
	checkMetadata(f, metadata)
	u.Metadata = merge(f, u.Metadata, metadata)
	return f.Text("source")
}

// attach makes the token's card the customer's default. Cards that are declined are refused here, except
// those made to fail later.
func (c *Call) attach(ctx context.Context, u *Customer, token string) error {
	if token == "" {
		return nil
	}
	card, hidden, err := takeToken(ctx, c, token, "source")
	if err != nil {
		return err
	}
	test, _ := cards.ByName(hidden.Name)
	if d := test.Outcome.Decline; d != nil && !test.Outcome.Attach {
		return wire.Card(d.Code, d.Decline, d.Param, d.Message)
	}
	card.Customer = &u.ID
	card.CVCCheck = passed(card.CVCCheck)
	u.DefaultSource = &card.ID
	return c.insert(ctx, kindCard, card.ID, card, hidden)
}

// listSources lists cards. Nothing else is a source here, so another object makes an empty page.
func listSources(ctx context.Context, c *Call) (any, error) {
	if _, _, err := find[Customer](ctx, c, kindCustomer, c.ID, "customer"); err != nil {
		return nil, notFound(err)
	}
	where := map[string]any{"customer": c.ID}
	if object := c.Form.Text("object"); object != "" {
		where["object"] = object
	}
	return c.page(ctx, ledger.Query{Kind: kindCard, Where: where})
}

// createSource keeps one more card; the customer's default stays.
func createSource(ctx context.Context, c *Call) (any, error) {
	token := c.Form.Required("source")
	if err := c.Form.Done(); err != nil {
		return nil, err
	}
	u, o, err := lockPath[Customer](ctx, c, kindCustomer, "customer")
	if err != nil {
		return nil, err
	}
	if u.Deleted {
		return nil, wire.NoSuch(kindCustomer, u.ID, "customer").Path()
	}
	before := u.DefaultSource
	if err := c.attach(ctx, &u, token); err != nil {
		return nil, err
	}
	card, _, err := find[Card](ctx, c, kindCard, *u.DefaultSource, "source")
	if err != nil {
		return nil, err
	}
	if before != nil {
		return card, nil
	}
	if err := c.update(ctx, o, u, nil); err != nil {
		return nil, err
	}
	return card, c.emit(ctx, "customer.updated", u, nil)
}

func getCustomer(ctx context.Context, c *Call) (any, error) { return c.get(ctx, kindCustomer, "id") }

func listCustomers(ctx context.Context, c *Call) (any, error) {
	where := map[string]any{"livemode": false} // deleted customers have no livemode
	if v := c.Form.Text("email"); v != "" {
		where["email"] = v
	}
	return c.page(ctx, ledger.Query{Kind: kindCustomer, Where: where})
}

func updateCustomer(ctx context.Context, c *Call) (any, error) {
	u, o, err := lockPath[Customer](ctx, c, kindCustomer, "id")
	if err != nil {
		return nil, err
	}
	source := readCustomer(c.Form, &u)
	defaultSource := c.Form.Text("default_source")
	if err := c.Form.Done(); err != nil {
		return nil, err
	}
	if u.Deleted {
		return nil, wire.NoSuch(kindCustomer, u.ID, "id").Path()
	}
	if defaultSource != "" {
		card, _, err := find[Card](ctx, c, kindCard, defaultSource, "default_source")
		if err != nil {
			return nil, err
		}
		if card.Customer == nil || *card.Customer != u.ID {
			return nil, wire.NoSuch("source", defaultSource, "default_source")
		}
		u.DefaultSource = &defaultSource
	}
	if err := c.attach(ctx, &u, source); err != nil {
		return nil, err
	}
	if err := c.update(ctx, o, u, nil); err != nil {
		return nil, err
	}
	return u, c.emit(ctx, "customer.updated", u, nil)
}

func deleteCustomer(ctx context.Context, c *Call) (any, error) {
	if err := c.Form.Done(); err != nil {
		return nil, err
	}
	u, o, err := lockPath[Customer](ctx, c, kindCustomer, "id")
	if err != nil {
		return nil, err
	}
	if u.Deleted {
		return nil, wire.NoSuch(kindCustomer, u.ID, "id").Path()
	}
	gone := Deleted{u.ID, kindCustomer, true}
	if err := c.update(ctx, o, gone, nil); err != nil {
		return nil, err
	}
	return gone, c.emit(ctx, "customer.deleted", u, nil)
}
