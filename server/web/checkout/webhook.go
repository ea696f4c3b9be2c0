package checkout

import (
	"net/http"

	"crema/server/base/fault"
	"crema/server/web"
)

// maxNotice is far more than the provider sends.
const maxNotice = 512 << 10

// notice takes what the provider tells us by itself. The signature covers the raw bytes, so nothing is
// read into them here, and no content type is asked for. The provider sends again what is not answered
// with 200, so only a notice that could not be stored is refused for a while, and a forged one for good.
func (d *Door) notice(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		web.WriteError(w, r, fault.New(fault.MethodRefused, "checkout.webhook_method", "this address takes POST only"))
		return
	}
	body, err := web.ReadBody(w, r, maxNotice)
	if err == nil {
		err = d.c.Payments.Receive(r.Context(), body, r.Header.Get("Stripe-Signature"))
	}
	switch {
	case err == nil:
		web.WriteJSON(w, http.StatusOK, map[string]bool{"received": true})
	case fault.Is(err, "payments.signature"):
		web.WriteRaw(w, http.StatusBadRequest, []byte(`{"error":"signature"}`+"\n"))
	default:
		web.WriteError(w, r, err)
	}
}
