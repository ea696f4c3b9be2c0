package pages

import (
	"bytes"
	"embed"
	"html/template"
	"net/http"
	"net/url"
	"strings"

	"crema/server/base/fault"
)

//go:embed *.html style.css
var files embed.FS

// StylePath is where the pages expect Style.
const StylePath = "/_stripe/pages.css"

// Item is a line of a checkout.
type Item struct {
	Name, Unit, Total string
	Quantity          int64
}

// TestCard is one of the cards that the sandbox takes.
type TestCard struct {
	Number, What string
}

// Checkout is the page of an open session.
type Checkout struct {
	Items      []Item
	Total      string
	Email      string // what was entered, or what the shop knows
	EmailKnown bool   // the shop knows it: it is not asked
	Submit     string // Pay, Book, ...
	Error      string
	Field      string // that Error is about: email, number, expiry, cvc; "" is none
	Challenge  string // the page of the bank, when the payment waits for it
	Cancel     string // "" : there is no way back
	Cards      []TestCard
}

// Challenge is the page of the bank.
type Challenge struct {
	Total, Last4 string
}

// Notice says one thing.
type Notice struct {
	Title, Text string
	Good        bool
	Link, Label string // "" : no link
	Receipt     string // where the receipt is; "" : there is none
}

// Receipt is what a charge took.
type Receipt struct {
	Total, Date, Card, Reference string
	Description                  string // may be empty
	Refunded                     string // "" : nothing
}

// Write answers with the page of a view. to lists the URLs that a form on it may lead to.
func Write(w http.ResponseWriter, status int, view any, to ...string) error {
	name, title := "notice.html", ""
	switch v := view.(type) {
	case Checkout:
		name, title = "checkout.html", "Pay "+v.Total
		if v.Error != "" {
			title = "Not paid yet: " + title
		}
	case Challenge:
		name, title = "challenge.html", "Confirm your payment"
	case Receipt:
		name, title = "receipt.html", "Receipt "+v.Total
	case Notice:
		title = v.Title
	}
	t, err := template.ParseFS(files, "layout.html", name)
	if err != nil {
		return fault.From(err)
	}
	var body bytes.Buffer
	if err := t.ExecuteTemplate(&body, "layout.html", map[string]any{"Title": title, "Style": StylePath, "View": view}); err != nil {
		return fault.From(err)
	}
	headers(w.Header(), to)
	w.WriteHeader(status)
	_, _ = w.Write(body.Bytes()) // a browser that left does not matter
	return nil
}

// headers forbid scripts, frames and other forms. Browsers hold redirects after a form against the policy
// too, so the shop's own pages are named.
func headers(h http.Header, to []string) {
	policy := "default-src 'none'; style-src 'self'; base-uri 'none'; frame-ancestors 'none'; form-action 'self'"
	for _, raw := range to {
		if u, err := url.Parse(raw); err == nil && u.Host != "" && !strings.ContainsAny(u.Scheme+u.Host, "; ,'\"") {
			policy += " " + u.Scheme + "://" + u.Host
		}
	}
	h.Set("Content-Security-Policy", policy)
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "same-origin")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Robots-Tag", "noindex")
}

// Style answers with the style sheet.
func Style(w http.ResponseWriter, _ *http.Request) {
	css, err := files.ReadFile("style.css")
	if err != nil {
		http.Error(w, "the style sheet is missing", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/css; charset=utf-8")
	w.Header().Set("Cache-Control", "no-cache")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	_, _ = w.Write(css) // a browser that left does not matter
}
