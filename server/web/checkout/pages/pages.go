// Package pages holds the HTML of the order pages. They share the shop's style sheet, hold no script and
// no style of their own, and say everything without JavaScript; order.js only keeps them up to date.
package pages

import (
	"bytes"
	"embed"
	"html/template"
	"strings"
	"time"

	"crema/server/core/payments/money"
)

// FS holds order.js.
//
//go:embed order.js
var FS embed.FS

//go:embed *.html
var sources embed.FS

const policy = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; base-uri 'none'; frame-ancestors 'none'"

// Policy is the Content-Security-Policy of each page: the shop's own sheet and script, nothing else. The
// form of the basket is answered with a redirect to the provider, whose host only it knows.
var Policy = map[string]string{"order": policy + "; form-action 'none'", "basket": policy}

// Shop is who sells, as every page shows it.
type Shop struct {
	Name    string
	Contact string // an e-mail address, a telephone number or a web address; may be empty
	Prefix  string // of the title, while no real money moves
	Banner  string // above everything, while no real money moves
}

// Order is an order's page, or what stands in its place.
type Order struct {
	Shop
	Heading    string
	Warning    string // before Lead
	Lead       string
	Note       string // a further sentence, when something is unusual
	Icon       string // paid, wait, bad or plain
	Rows       []Row
	Total      money.Money
	Refunds    []Refund
	Refunded   money.Money // Minor 0: nothing
	ID         string      // "" when there is no order to show
	Date       time.Time
	Card       string
	Reference  string
	Link       string // of this page
	Checkout   string // the provider's page, while it can be paid
	Retry      string // label of the way back to the shop
	Refresh    int    // seconds until the page looks again by itself; 0: never
	StatusPath string // asked by order.js while Refresh is not 0
	Status     string
	Receipt    bool // it is worth printing
}

// Row is one line of the basket.
type Row struct {
	Name      string
	Quantity  int64
	Unit, Sum money.Money
}

// Refund is money that went back, or is on its way.
type Refund struct {
	Amount money.Money
	At     time.Time
	Done   bool
}

// Basket is the shop's form for browsers without JavaScript.
type Basket struct {
	Shop
	OrderKey string
	Email    string
	Wrong    string // why the last try was refused
	Products []Product
}

// Product is one article of the form.
type Product struct {
	ID, Name, Description string
	WeightGrams           int
	Price                 money.Money
	Quantity              string // as typed
}

var all = template.Must(template.New("").Funcs(template.FuncMap{
	"price": price,
	"iso":   func(t time.Time) string { return t.UTC().Format(time.RFC3339) },
	"utc":   func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05") + " UTC" },
	"words": func(t time.Time) string { return t.UTC().Format("2 January 2006, 15:04") + " UTC" },
	"way":   way,
}).ParseFS(sources, "*.html"))

// Write renders the named page ("order" or "basket").
func Write(name string, data any) ([]byte, error) {
	var b bytes.Buffer
	err := all.ExecuteTemplate(&b, name, data)
	return b.Bytes(), err
}

// Code is the order's currency in capitals.
func (o Order) Code() string { return strings.ToUpper(o.Total.Currency) }
