package api

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"crema/server/core/payments/sandbox/ledger"
	"crema/server/core/payments/sandbox/render"
	"crema/server/core/payments/sandbox/wire"
)

// The bounds of a session's life.
const (
	minSessionLife = 30 * time.Minute
	maxSessionLife = 24 * time.Hour
)

// Session is a checkout: what a shopper is to pay, on a page of its own. Amounts are in minor units.
type Session struct {
	ID                                string            `json:"id"`
	Object                            string            `json:"object"`
	AfterExpiration                   *string           `json:"after_expiration"`
	AllowPromotionCodes               *bool             `json:"allow_promotion_codes"`
	AmountSubtotal                    int64             `json:"amount_subtotal"`
	AmountTotal                       int64             `json:"amount_total"`
	AutomaticTax                      map[string]any    `json:"automatic_tax"`
	BillingAddressCollection          *string           `json:"billing_address_collection"`
	CancelURL                         *string           `json:"cancel_url"`
	ClientReferenceID                 *string           `json:"client_reference_id"`
	ClientSecret                      *string           `json:"client_secret"`
	Consent                           *string           `json:"consent"`
	ConsentCollection                 *string           `json:"consent_collection"`
	Created                           int64             `json:"created"`
	Currency                          string            `json:"currency"`
	CurrencyConversion                *string           `json:"currency_conversion"`
	CustomFields                      []any             `json:"custom_fields"`
	CustomText                        map[string]any    `json:"custom_text"`
	Customer                          *string           `json:"customer"`
	CustomerCreation                  *string           `json:"customer_creation"`
	CustomerDetails                   *CustomerDetails  `json:"customer_details"`
	CustomerEmail                     *string           `json:"customer_email"`
	ExpiresAt                         int64             `json:"expires_at"`
	Invoice                           *string           `json:"invoice"`
	InvoiceCreation                   map[string]any    `json:"invoice_creation"`
	Livemode                          bool              `json:"livemode"`
	Locale                            *string           `json:"locale"`
	Metadata                          map[string]string `json:"metadata"`
	Mode                              string            `json:"mode"`
	PaymentIntent                     *string           `json:"payment_intent"`
	PaymentLink                       *string           `json:"payment_link"`
	PaymentMethodCollection           string            `json:"payment_method_collection"`
	PaymentMethodConfigurationDetails *string           `json:"payment_method_configuration_details"`
	PaymentMethodOptions              map[string]any    `json:"payment_method_options"`
	PaymentMethodTypes                []string          `json:"payment_method_types"`
	PaymentStatus                     string            `json:"payment_status"`
	PhoneNumberCollection             map[string]bool   `json:"phone_number_collection"`
	RecoveredFrom                     *string           `json:"recovered_from"`
	RedirectOnCompletion              string            `json:"redirect_on_completion,omitempty"` // embedded only
	ReturnURL                         *string           `json:"return_url,omitempty"`             // embedded only
	SetupIntent                       *string           `json:"setup_intent"`
	ShippingAddressCollection         *string           `json:"shipping_address_collection"`
	ShippingCost                      *string           `json:"shipping_cost"`
	ShippingDetails                   *Shipping         `json:"shipping_details"`
	ShippingOptions                   []any             `json:"shipping_options"`
	Status                            string            `json:"status"`
	SubmitType                        *string           `json:"submit_type"`
	Subscription                      *string           `json:"subscription"`
	SuccessURL                        *string           `json:"success_url"`
	TotalDetails                      map[string]int64  `json:"total_details"`
	UIMode                            string            `json:"ui_mode"` // hosted or embedded; package render knows the newer words
	URL                               *string           `json:"url"`
}

// CustomerDetails is who paid.
type CustomerDetails struct {
	Address   *Address `json:"address"`
	Email     *string  `json:"email"`
	Name      *string  `json:"name"`
	Phone     *string  `json:"phone"`
	TaxExempt string   `json:"tax_exempt"`
	TaxIDs    []any    `json:"tax_ids"`
}

// LineItem is one thing in a session.
type LineItem struct {
	ID             string `json:"id"`
	Object         string `json:"object"`
	AmountDiscount int64  `json:"amount_discount"`
	AmountSubtotal int64  `json:"amount_subtotal"`
	AmountTax      int64  `json:"amount_tax"`
	AmountTotal    int64  `json:"amount_total"`
	Currency       string `json:"currency"`
	Description    string `json:"description"`
	Price          Price  `json:"price"`
	Quantity       int64  `json:"quantity"`
}

// Price is what one of a thing costs. The sandbox makes it from price_data.
type Price struct {
	ID                string            `json:"id"`
	Object            string            `json:"object"`
	Active            bool              `json:"active"`
	BillingScheme     string            `json:"billing_scheme"`
	Created           int64             `json:"created"`
	Currency          string            `json:"currency"`
	CustomUnitAmount  *string           `json:"custom_unit_amount"`
	Livemode          bool              `json:"livemode"`
	LookupKey         *string           `json:"lookup_key"`
	Metadata          map[string]string `json:"metadata"`
	Nickname          *string           `json:"nickname"`
	Product           string            `json:"product"`
	Recurring         *string           `json:"recurring"`
	TaxBehavior       string            `json:"tax_behavior"`
	TiersMode         *string           `json:"tiers_mode"`
	TransformQuantity *string           `json:"transform_quantity"`
	Type              string            `json:"type"`
	UnitAmount        int64             `json:"unit_amount"`
	UnitAmountDecimal string            `json:"unit_amount_decimal"`
}

// sessionHidden is what the sandbox hides beside a session.
type sessionHidden struct {
	Due    int64      `json:"due,omitempty"` // unix seconds at which it expires; gone when it is not open
	Items  []LineItem `json:"items"`
	Intent Intent     `json:"intent"` // what its intent will begin with
	Key    string     `json:"key"`    // the idempotency key it was made with; the journal names it
}

func createSession(ctx context.Context, c *Call) (any, error) {
	f := c.Form
	if mode := f.Required("mode"); mode != "" && mode != "payment" {
		f.Refuse(wire.Invalid("mode", "Invalid mode: the sandbox has sessions of mode payment only."))
	}
	hidden := sessionHidden{Key: c.Key, Items: c.readItems()}
	s := newSession(c, hidden.Items)
	c.readUI(&s)
	c.readShopper(&s)
	hidden.Due = s.ExpiresAt
	hidden.Intent = c.readIntentData(s)
	if err := f.Done(); err != nil {
		return nil, err
	}
	if err := c.known(ctx, s.Customer); err != nil {
		return nil, err
	}
	return s, c.insert(ctx, kindSession, s.ID, s, hidden)
}

func newSession(c *Call, items []LineItem) Session {
	s := Session{
		ID: wire.NewID("cs_test_a1", 56), Object: kindSession, AutomaticTax: map[string]any{"enabled": false, "liability": nil, "status": nil},
		Created: c.Now.Unix(), CustomFields: []any{}, Metadata: map[string]string{}, Mode: "payment",
		CustomText: map[string]any{"after_submit": nil, "shipping_address": nil, "submit": nil, "terms_of_service_acceptance": nil},
		InvoiceCreation: map[string]any{"enabled": false, "invoice_data": map[string]any{
			"account_tax_ids": nil, "custom_fields": nil, "description": nil, "footer": nil, "issuer": nil, "metadata": map[string]any{}, "rendering_options": nil,
		}},
		PaymentMethodCollection: "if_required", PaymentMethodOptions: map[string]any{}, PaymentMethodTypes: []string{kindCard},
		PaymentStatus: "unpaid", PhoneNumberCollection: map[string]bool{"enabled": false}, ShippingOptions: []any{},
		Status: "open", TotalDetails: map[string]int64{"amount_discount": 0, "amount_shipping": 0, "amount_tax": 0},
	}
	for _, item := range items {
		s.AmountTotal += item.AmountTotal
		s.Currency = item.Currency
	}
	s.AmountSubtotal = s.AmountTotal
	return s
}

// readItems reads line_items; what they cost together must be an amount that can be charged.
func (c *Call) readItems() []LineItem {
	f := c.Form
	if !f.Has("line_items") {
		f.Refuse(wire.InvalidCode("parameter_missing", "line_items", "Missing required param: line_items."))
	}
	groups := f.Groups("line_items")
	if len(groups) > 100 {
		f.Refuse(wire.Invalid("line_items", "A session takes at most 100 line items."))
		return nil
	}
	var items []LineItem
	total := int64(0)
	for _, g := range groups {
		item := c.readItem(g)
		if len(items) > 0 && item.Currency != items[0].Currency {
			f.Refuse(wire.Invalid("line_items", "All line items of a session must have one currency."))
		}
		items, total = append(items, item), total+item.AmountTotal
	}
	if len(items) > 0 {
		if refusal := wire.Amount(total, items[0].Currency); refusal != nil {
			refusal.Param = "line_items"
			f.Refuse(refusal)
		}
	}
	return items
}

func (c *Call) readItem(g *wire.Params) LineItem {
	if price := g.Text("price"); price != "" {
		g.Refuse(wire.NoSuch("price", price, "line_items"))
	}
	if !g.Has("price_data") {
		g.Refuse(wire.InvalidCode("parameter_missing", "line_items", "Every line item needs price_data: currency, unit_amount and product_data[name]."))
	}
	d := g.Group("price_data")
	currency, amount, quantity := readCurrency(d), d.Int("unit_amount"), g.Int("quantity")
	p := d.Group("product_data")
	name := p.Required("name")
	p.Text("description")
	p.Text("tax_code")
	p.List("images")
	p.Texts("metadata")
	behavior := choice(d, "tax_behavior", "unspecified", "exclusive", "inclusive")
	if amount < 0 || amount > 99999999 {
		g.Refuse(wire.InvalidCode("parameter_invalid_integer", "line_items", "Invalid unit_amount: it must be between 0 and 99999999."))
	}
	if quantity < 1 || quantity > 999999 {
		g.Refuse(wire.InvalidCode("parameter_invalid_integer", "line_items", "Invalid quantity: it must be between 1 and 999999."))
	}
	total := amount * quantity
	return LineItem{
		ID: wire.NewID("li_1", 23), Object: "item", AmountSubtotal: total, AmountTotal: total, Currency: currency,
		Description: name, Quantity: quantity,
		Price: Price{
			ID: wire.NewID("price_1", 23), Object: "price", BillingScheme: "per_unit", Created: c.Now.Unix(), Currency: currency,
			Metadata: map[string]string{}, Product: wire.NewID("prod_", 14), TaxBehavior: behavior, Type: "one_time",
			UnitAmount: amount, UnitAmountDecimal: fmt.Sprint(amount),
		},
	}
}

// readUI reads where the page is shown and where it leads to.
func (c *Call) readUI(s *Session) {
	f := c.Form
	s.UIMode, _, _ = strings.Cut(choice(f, "ui_mode", "hosted", "hosted_page", "embedded", "embedded_page"), "_")
	s.SuccessURL, s.CancelURL, s.ReturnURL = f.Optional("success_url"), f.Optional("cancel_url"), f.Optional("return_url")
	redirect := choice(f, "redirect_on_completion", "always", "if_required", "never")
	for name, raw := range map[string]*string{"success_url": s.SuccessURL, "cancel_url": s.CancelURL, "return_url": s.ReturnURL} {
		if raw != nil {
			checkURL(f, name, *raw)
		}
	}
	embedded := s.UIMode == "embedded"
	switch {
	case embedded && (s.SuccessURL != nil || s.CancelURL != nil):
		f.Refuse(wire.Invalid("success_url", "success_url and cancel_url are for hosted pages; an embedded one has a return_url."))
	case embedded && redirect != "never" && s.ReturnURL == nil:
		f.Refuse(wire.InvalidCode("parameter_missing", "return_url", "Missing required param: return_url."))
	case !embedded && s.SuccessURL == nil:
		f.Refuse(wire.InvalidCode("parameter_missing", "success_url", "Missing required param: success_url."))
	case !embedded && s.ReturnURL != nil:
		f.Refuse(wire.Invalid("return_url", "return_url is for embedded pages; a hosted one has a success_url."))
	}
	page := c.Origin + "/_stripe/pay/" + s.ID
	if s.URL = &page; embedded {
		secret := s.ID + "_secret_" + wire.NewID("", 32)
		s.URL, s.ClientSecret, s.RedirectOnCompletion = nil, &secret, redirect
	}
}

// readShopper reads who pays, until when, and what the shop wants to remember.
func (c *Call) readShopper(s *Session) {
	f := c.Form
	s.ClientReferenceID, s.Customer, s.CustomerEmail = f.Optional("client_reference_id"), f.Optional("customer"), email(f, "customer_email")
	if s.ClientReferenceID != nil && len(*s.ClientReferenceID) > 200 {
		f.Refuse(wire.Invalid("client_reference_id", "client_reference_id may have at most 200 characters."))
	}
	if s.Customer != nil && s.CustomerEmail != nil {
		f.Refuse(wire.Invalid("customer_email", "You may only specify one of these parameters: customer, customer_email."))
	}
	if s.Customer == nil {
		creation := choice(f, "customer_creation", "if_required", "always")
		s.CustomerCreation = &creation
	}
	if s.CustomerEmail != nil {
		s.CustomerDetails = &CustomerDetails{Email: s.CustomerEmail, TaxExempt: "none", TaxIDs: []any{}}
	}
	s.Locale, s.SubmitType = f.Optional("locale"), f.Optional("submit_type")
	if s.SubmitType != nil && !slices.Contains([]string{"auto", "book", "donate", "pay"}, *s.SubmitType) {
		f.Refuse(wire.Invalid("submit_type", "Invalid submit_type: must be one of auto, book, donate, pay."))
	}
	s.BillingAddressCollection = f.Optional("billing_address_collection")
	s.PhoneNumberCollection["enabled"] = f.Group("phone_number_collection").Bool("enabled", false)
	if types := f.List("payment_method_types"); len(types) > 1 || len(types) == 1 && types[0] != kindCard {
		f.Refuse(wire.Invalid("payment_method_types", "The sandbox takes the payment method type card only."))
	}
	metadata := f.Texts("metadata")
	checkMetadata(f, metadata)
	s.Metadata = merge(f, nil, metadata)
	s.ExpiresAt = s.Created + int64(maxSessionLife.Seconds())
	at, given := f.OptionalInt("expires_at")
	if life := at - s.Created; given && (life < int64(minSessionLife.Seconds()) || life > int64(maxSessionLife.Seconds())) {
		f.Refuse(wire.Invalid("expires_at", "The expires_at timestamp must be at least 30 minutes and at most 24 hours from the creation of the session."))
	}
	if given {
		s.ExpiresAt = at
	}
}

// readIntentData reads payment_intent_data into what the session's intent will begin with.
func (c *Call) readIntentData(s Session) Intent {
	g := c.Form.Group("payment_intent_data")
	p := newIntent(c, s.AmountTotal, s.Currency)
	p.Description, p.ReceiptEmail, p.TransferGroup = g.Optional("description"), email(g, "receipt_email"), g.Optional("transfer_group")
	p.StatementDescriptor, p.StatementDescriptorSuffix = g.Optional("statement_descriptor"), g.Optional("statement_descriptor_suffix")
	p.CaptureMethod = choice(g, "capture_method", "automatic", "manual", "automatic_async")
	p.SetupFutureUsage, p.Customer = g.Optional("setup_future_usage"), s.Customer
	p.Shipping = readShipping(g)
	metadata := g.Texts("metadata")
	checkMetadata(g, metadata)
	p.Metadata = merge(g, nil, metadata)
	return p
}

func getSession(ctx context.Context, c *Call) (any, error) {
	if err := Settle(ctx, c); err != nil {
		return nil, err
	}
	return c.get(ctx, kindSession, "session")
}

func listSessions(ctx context.Context, c *Call) (any, error) {
	where := map[string]any{}
	for _, filter := range []string{"customer", "payment_intent", "status"} {
		if v := c.Form.Text(filter); v != "" {
			where[filter] = v
		}
	}
	if v := c.Form.Group("customer_details").Text("email"); v != "" {
		where["customer_details"] = map[string]string{"email": v}
	}
	if err := Settle(ctx, c); err != nil {
		return nil, err
	}
	return c.page(ctx, ledger.Query{Kind: kindSession, Where: where})
}

func listLineItems(ctx context.Context, c *Call) (any, error) {
	c.Form.OptionalInt("limit") // all fit on one page
	c.Form.Text("starting_after")
	if err := c.Form.Done(); err != nil {
		return nil, err
	}
	_, o, err := find[Session](ctx, c, kindSession, c.ID, "session")
	if e, ok := err.(*wire.Error); ok { //nolint:errorlint // made just above
		err = e.Path()
	}
	if err != nil {
		return nil, err
	}
	return render.LineItems(o)
}
