package checkout

import (
	"bytes"
	"io/fs"
	"net/http"
	"time"

	"github.com/go-chi/chi/v5"

	"crema/server/core/payments"
	"crema/server/web"
	"crema/server/web/checkout/assets"
	"crema/server/web/checkout/pages"
)

// Popup is where pages load the popup's script.
const Popup = "/stripe/checkout.js"

// Config is what the door needs.
type Config struct {
	Payments       *payments.Service
	Gate           *web.Gate    // tells who asks for a checkout
	Currency       string       // of the shop, lower case
	APIKey         string       // the client key: it is public
	PublishableKey string       // pk_..., public too
	ShopName       string       // who sells, on receipts
	Contact        string       // how shoppers reach them; may be empty
	Tokens         http.Handler // the sandbox's tokens and hosted pages; nil with real keys
}

// Door serves the shop's money side.
type Door struct {
	c       Config
	started time.Time
}

// New returns the door.
func New(c Config) *Door { return &Door{c: c, started: time.Now()} }

// Register hangs the door's paths, which have no common prefix, on r.
func (d *Door) Register(r chi.Router) {
	read(r, "/payments/config.json", web.Handler(d.config))
	read(r, "/orders/page.js", d.file(pages.FS, "order.js", "text/javascript; charset=utf-8"))
	for _, cut := range []string{"/orders", "/orders/*"} { // links that lost their end
		read(r, cut, http.HandlerFunc(d.order))
	}
	read(r, "/orders/{id}", http.HandlerFunc(d.order))
	read(r, "/orders/{id}/cancelled", http.HandlerFunc(d.left))
	read(r, "/orders/{id}/status.json", web.Handler(d.orderStatus))
	read(r, "/orders/new", http.HandlerFunc(d.basket))
	r.Post("/orders/new", d.openCheckout)
	r.HandleFunc("/stripe/webhook", d.notice)
	read(r, Popup, http.HandlerFunc(d.script))
	read(r, "/_stripe/checkout.js", http.HandlerFunc(d.script))
	if d.c.Tokens != nil {
		read(r, "/_stripe/checkout/frame", http.HandlerFunc(d.frame))
		read(r, "/_stripe/checkout/frame.js", d.asset("frame.js", "text/javascript; charset=utf-8"))
		read(r, "/_stripe/checkout/frame.css", d.asset("frame.css", "text/css; charset=utf-8"))
		r.Handle("/_stripe/*", d.c.Tokens)
	}
}

// read answers GET, and HEAD, which would else reach the wire and be told another type and length.
func read(r chi.Router, path string, h http.Handler) {
	r.Method(http.MethodGet, path, h)
	r.Method(http.MethodHead, path, h)
}

// What stands on every page while no money moves.
const (
	sandboxBanner = "Sandbox – no real money moves. Pay with a test card."
	testBanner    = "Test mode – no real money moves."
)

type shopConfig struct {
	Mode     payments.Mode      `json:"mode"`
	Currency string             `json:"currency"`
	Key      string             `json:"key"`
	APIKey   string             `json:"api_key"`
	Popup    string             `json:"popup"` // the card form's script; "" when card tokens are not taken
	Banner   string             `json:"banner"`
	Products []payments.Product `json:"products"`
}

// config tells a page all that it needs to sell. Everything in it is public.
func (d *Door) config(w http.ResponseWriter, r *http.Request) error {
	products, err := d.c.Payments.Products(r.Context())
	if err != nil {
		return err
	}
	c := shopConfig{
		Mode: d.c.Payments.Mode(), Currency: d.c.Currency, Key: d.c.PublishableKey, APIKey: d.c.APIKey,
		Products: products, Banner: d.shop().Banner,
	}
	if d.c.Payments.TokenPath() {
		c.Popup = Popup
	}
	w.Header().Set("Cache-Control", "no-store")
	web.WriteJSON(w, http.StatusOK, c)
	return nil
}

// retired answers old pages once real keys are set: Stripe no longer supports this popup.
const retired = `window.StripeCheckout={configure:function(a){this.options=a||{};return this},close:function(){},open:function(b){` +
	`window.alert("This way of paying is switched off. You have not been charged.");` +
	`var closed=(b&&b.closed)||(this.options||{}).closed;if(closed)closed()}};` +
	`console.error("checkout.js works in the sandbox only: Stripe has retired this popup. Use the hosted checkout.");`

func (d *Door) script(w http.ResponseWriter, r *http.Request) {
	if d.c.Tokens != nil {
		d.asset("checkout.js", "text/javascript; charset=utf-8")(w, r)
		return
	}
	d.send(w, r, "checkout.js", "text/javascript; charset=utf-8", []byte(retired))
}

// frame is the card form, which pages of any origin may show.
func (d *Door) frame(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Security-Policy", assets.FramePolicy)
	d.asset("frame.html", "text/html; charset=utf-8")(w, r)
}

func (d *Door) asset(name, contentType string) http.HandlerFunc {
	return d.file(assets.FS, name, contentType)
}

func (d *Door) file(files fs.FS, name, contentType string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, err := fs.ReadFile(files, name)
		if err != nil {
			web.WriteError(w, r, err)
			return
		}
		d.send(w, r, name, contentType, body)
	}
}

func (d *Door) send(w http.ResponseWriter, r *http.Request, name, contentType string, body []byte) {
	h := w.Header()
	h.Set("Content-Type", contentType)
	h.Set("Cache-Control", "no-cache")
	h.Set("Cross-Origin-Resource-Policy", "cross-origin")
	http.ServeContent(w, r, name, d.started, bytes.NewReader(body))
}
