package checkout

import (
	"net/http"
	"time"

	"github.com/go-chi/chi/v5"

	"crema/server/base/fault"
	"crema/server/core/payments"
	"crema/server/web"
	"crema/server/web/checkout/pages"
)

// order shows an order to the holder of its link. The provider sends shoppers who have paid back here, with
// cs.
func (d *Door) order(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	returned := q.Get("cs") != ""
	v, err := d.c.Payments.Order(r.Context(), chi.URLParam(r, "id"), q.Get("t"))
	if err != nil {
		d.noOrder(w, r, err)
		return
	}
	d.page(w, r, http.StatusOK, "order", d.describe(v, returned))
}

// left is where the provider sends shoppers who leave its page: that page is closed, then the order is
// shown as it is. Who has paid in the meantime sees a receipt.
func (d *Door) left(w http.ResponseWriter, r *http.Request) {
	id, token := chi.URLParam(r, "id"), r.URL.Query().Get("t")
	v, err := d.c.Payments.Cancel(r.Context(), id, token)
	note := ""
	if fault.HasCode(err, fault.Unavailable) { // the provider's page stays open until it expires
		note = "The checkout could not be closed just now. It closes by itself in half an hour."
		v, err = d.c.Payments.Order(r.Context(), id, token)
	}
	if err != nil {
		d.noOrder(w, r, err)
		return
	}
	p := d.describe(v, false)
	p.Note = note
	if v.Status == payments.StatusPaid {
		p.Note = "The payment had gone through before you left the checkout."
	}
	d.page(w, r, http.StatusOK, "order", p)
}

// orderStatus is what the page asks while a payment is not decided.
func (d *Door) orderStatus(w http.ResponseWriter, r *http.Request) error {
	q := r.URL.Query()
	returned := q.Get("cs") != ""
	v, err := d.c.Payments.Order(r.Context(), chi.URLParam(r, "id"), q.Get("t"))
	if err != nil {
		return err
	}
	w.Header().Set("Cache-Control", "no-store")
	web.WriteJSON(w, http.StatusOK, struct {
		Status   payments.Status `json:"status"`
		Message  string          `json:"message,omitempty"`
		Checkout string          `json:"checkout_url,omitempty"`
	}{shown(v, returned), v.Message, v.CheckoutURL})
	return nil
}

// shown is an order's status for somebody who may just have paid: until the provider has said so, that
// is not "open".
func shown(v payments.View, returned bool) payments.Status {
	if returned && v.Status == payments.StatusOpen {
		return payments.StatusProcessing
	}
	return v.Status
}

// noOrder stands where an order should be.
func (d *Door) noOrder(w http.ResponseWriter, r *http.Request, err error) {
	p := pages.Order{
		Shop: d.shop(), Icon: "bad", Heading: "We cannot show your order right now", Retry: "Back to the shop",
		Lead: "Nothing is lost. If you were paying, do not pay again: load this page again in a minute.",
	}
	status := web.Describe(r, err).Status
	if status == http.StatusNotFound {
		p.Heading, p.Lead = "There is no such order", "Please check that the whole link was copied, up to its last character. The link is the only key to an order."
		p.Icon = "plain"
	}
	d.page(w, r, status, "order", p)
}

// page sends a page that only the holder of its link may see: no cache keeps it, and no other site hears
// its address.
func (d *Door) page(w http.ResponseWriter, r *http.Request, status int, name string, data any) {
	body, err := pages.Write(name, data)
	if err != nil {
		web.WriteError(w, r, err)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", pages.Policy[name])
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Robots-Tag", "noindex, nofollow")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(body) // the shopper may be gone
}

// An order's page looks again every few seconds while its order is young. Later, it takes its time.
const (
	eager  = 3 * time.Minute
	hasty  = 3 // seconds
	steady = 30
)

func refreshAfter(v payments.View) int {
	if time.Since(v.CreatedAt) < eager {
		return hasty
	}
	return steady
}
