package lambda

import (
	"context"
	"encoding/json"
	"log/slog"
	"time"
)

// Call is what a function gets beside its arguments.
type Call struct {
	Name      string // of the function
	RequestID string
	Actor     Actor
	Records   Records
	Payments  Payments
	Log       *slog.Logger
	Payload   json.RawMessage // the whole body of a request of Skygear's wire, for functions made with Raw; else nil

	decode func(text []byte, v any) error
}

// DecodeWith sets how arguments become the input of a function made with Op, as the server does: in the way and with the errors of
// json.Unmarshal, which is used otherwise.
func (c *Call) DecodeWith(decode func(text []byte, v any) error) { c.decode = decode }

// Actor is who called.
type Actor struct {
	UserID string   // "" when nobody is logged in
	Roles  []string // of the user
	Master bool     // the caller holds the master key
	Key    string   // "client", "master", or "" for none
}

// Record is a record as functions see it. Field values are string, float64, int64, bool, nil,
// time.Time, json.RawMessage (arrays and objects), Reference and Location.
type Record struct {
	ID        string         // "type/key"
	Owner     string         // user id; set by the server on save
	CreatedAt time.Time      // set by the server
	UpdatedAt time.Time      // set by the server
	Access    []AccessEntry  // nil: everybody reads; empty: owner only
	Fields    map[string]any // data columns
}

// AccessEntry grants Level ("read" or "write") to exactly one of the public, a role or a user.
type AccessEntry struct {
	Level  string
	Public bool
	Role   string
	User   string
}

// Reference points to another record by "type/key".
type Reference string

// Location is a point in degrees.
type Location struct{ Lat, Lng float64 }

// Query selects records of one type. Where is a predicate in the wire's form, for example
// []any{"eq", lambda.Key("email"), "a@b.c"}; nil selects all.
type Query struct {
	Type   string
	Where  []any
	Sort   []Sort
	Limit  int // 0: no limit
	Offset int
}

// Sort orders by a field.
type Sort struct {
	Field      string
	Descending bool
}

// Key is a field name inside a predicate.
func Key(field string) map[string]any {
	return map[string]any{"$type": "keypath", "$val": field}
}

// Records reads and writes records. Every method acts as the service itself (all access lists pass,
// tables and columns are made as needed); AsCaller narrows it to what the caller may do.
type Records interface {
	// Save stores all records or none and returns them as stored. Durable on return.
	Save(ctx context.Context, records ...Record) ([]Record, error)
	// Fetch returns the records with these ids, in their order; a missing one is an error.
	Fetch(ctx context.Context, ids ...string) ([]Record, error)
	Query(ctx context.Context, q Query) ([]Record, error)
	// Delete removes all or none.
	Delete(ctx context.Context, ids ...string) error
	AsCaller() Records
}

// Payments takes money.
type Payments interface {
	// PayWithToken charges a card token for one product of the catalogue. A decline, a changed price
	// and an outcome that is not known yet are results, not errors; see Payment.
	PayWithToken(ctx context.Context, p TokenPayment) (Payment, error)
	// OpenCheckout prices a basket and opens the provider's page for it; the shopper is sent to URL. The
	// same order key with the same basket gives the same page; another basket closes the old page first.
	OpenCheckout(ctx context.Context, c Checkout) (Payment, error)
}

// Checkout asks to sell a basket on the provider's page.
type Checkout struct {
	Items    []CheckoutItem
	Email    string // optional: the provider's page asks for it otherwise
	OrderKey string // the page's name for this purchase
}

// CheckoutItem is one line of a basket.
type CheckoutItem struct {
	Product  string // id in the catalogue
	Quantity int64
}

// TokenPayment asks to sell one piece of a product.
type TokenPayment struct {
	Product  string // name in the catalogue
	Price    *int64 // what the page showed, minor units; nil: not compared
	Token    string // card token, tok_...
	Email    string // receipt address
	OrderKey string // optional: the page's name for this purchase; equal keys never pay twice
}

// PaymentStatus says how a payment stands.
type PaymentStatus string

// The states a caller can meet.
const (
	Paid       PaymentStatus = "paid"       // charged and recorded
	Declined   PaymentStatus = "declined"   // refused for good, nothing was charged
	Processing PaymentStatus = "processing" // not known yet; the server goes on by itself, nobody should pay again
	AtCheckout PaymentStatus = "checkout"   // the shopper pays on the provider's page
)

// Payment is how a TokenPayment or a Checkout stands.
type Payment struct {
	Status    PaymentStatus
	OrderID   string
	URL       string  // of the provider's page, when AtCheckout
	Record    *Record // the payment_record, when Paid
	Code      string  // ours: card_declined, price_changed, processing, ...; "" when Paid
	Message   string  // for the shopper
	Retryable bool    // another attempt may succeed
	StatusURL string  // the order's page, path only
}
