package checkout

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"crema/server/core/acl"
	"crema/server/core/payments"
	"crema/server/core/payments/money"
	"crema/server/web"
	"crema/server/web/checkout/pages"
)

// maxForm is far more than the form sends.
const maxForm = 64 << 10

// basket is the shop for browsers without JavaScript: a form that goes to the same checkout. The key in
// it names the purchase, so that pressing twice is one order.
func (d *Door) basket(w http.ResponseWriter, r *http.Request) {
	d.form(w, r, http.StatusOK, url.Values{"order_key": {uuid.NewString()}}, "")
}

func (d *Door) form(w http.ResponseWriter, r *http.Request, status int, in url.Values, wrong string) {
	products, err := d.c.Payments.Products(r.Context())
	if err != nil {
		d.noOrder(w, r, err)
		return
	}
	p := pages.Basket{Shop: d.shop(), OrderKey: in.Get("order_key"), Email: in.Get("email"), Wrong: wrong}
	for _, a := range products {
		quantity := "0"
		if n := in.Get("bags-" + a.ID); n != "" {
			quantity = n
		}
		p.Products = append(p.Products, pages.Product{
			ID: a.ID, Name: a.Name, Description: a.Description, WeightGrams: a.WeightGrams,
			Price: money.Money{Minor: a.UnitAmount, Currency: a.Currency}, Quantity: quantity,
		})
	}
	d.page(w, r, status, "basket", p)
}

// openCheckout takes the form and sends the browser on to the provider's page.
func (d *Door) openCheckout(w http.ResponseWriter, r *http.Request) {
	body, err := web.ReadBody(w, r, maxForm)
	if err != nil {
		d.noOrder(w, r, err)
		return
	}
	in, err := url.ParseQuery(string(body))
	if err != nil {
		d.form(w, r, http.StatusBadRequest, url.Values{"order_key": {uuid.NewString()}}, "The form could not be read. Nothing was charged. Please fill it in again.")
		return
	}
	items, ok := picked(in)
	if !ok || len(items) == 0 {
		d.form(w, r, http.StatusUnprocessableEntity, in, "Choose at least one bag, and at most 99 of a kind. Nothing was charged.")
		return
	}
	ctx := acl.WithActor(r.Context(), d.c.Gate.Optional(r.Context(), d.c.Gate.Credentials(r)).Actor)
	p, err := d.c.Payments.OpenCheckout(ctx, payments.Checkout{Items: items, Email: in.Get("email"), OrderKey: in.Get("order_key")})
	switch {
	case err != nil:
		d.noOrder(w, r, err)
	case p.Status == payments.AtCheckout:
		d.goTo(w, p.URL)
	case p.Status == payments.Declined:
		d.form(w, r, http.StatusUnprocessableEntity, in, p.Message)
	default:
		d.goTo(w, p.StatusURL)
	}
}

// goTo turns a POST into a GET of another page.
func (d *Door) goTo(w http.ResponseWriter, target string) {
	h := w.Header()
	h.Set("Location", target)
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusSeeOther)
}

// picked reads how many bags of what were chosen, in any order; false when that is no number.
func picked(in url.Values) (items []payments.CheckoutItem, ok bool) {
	for name, values := range in {
		id, isBags := strings.CutPrefix(name, "bags-")
		text := strings.TrimSpace(values[0])
		if !isBags || text == "" {
			continue
		}
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil || n < 0 || n > payments.MaxQuantity {
			return nil, false
		}
		if n > 0 {
			items = append(items, payments.CheckoutItem{Product: id, Quantity: n})
		}
	}
	return items, true
}
