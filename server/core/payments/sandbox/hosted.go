package sandbox

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"crema/server/core/payments/sandbox/api"
	"crema/server/core/payments/sandbox/pages"
	"crema/server/core/payments/sandbox/wire"
)

// payPage shows the checkout of a session, and takes its card.
func (s *Sandbox) payPage(w http.ResponseWriter, r *http.Request, id string) {
	view := pages.Checkout{}
	act := api.FindPage
	if r.Method == http.MethodPost {
		form := r.PostForm
		view.Email = strings.TrimSpace(form.Get("email"))
		if act, view.Error, view.Field = payForm(form); view.Error != "" {
			act = api.FindPage
		}
	}
	var page api.Page
	err := s.call(r.Context(), func(ctx context.Context, c *api.Call) (err error) {
		s.fromBrowser(c, r, id)
		page, err = act(ctx, c)
		return err
	})
	status := http.StatusOK
	var e *wire.Error
	switch {
	case api.IsMissing(err) && page.Session.ID == "":
		s.page(w, http.StatusNotFound, pages.Notice{Title: "There is no such checkout", Text: "The address is wrong, or the sandbox was reset. Go back to the shop and start again. Nothing was charged."})
		return
	case errors.As(err, &e) && page.Session.ID != "":
		status, view.Error, view.Field = e.Status, shopperText(e), fieldOf(e.Param)
	case err != nil:
		s.broken(w, err)
		return
	case view.Error != "":
		status = http.StatusBadRequest
	}
	s.showPage(w, r, status, view, page)
}

// showPage goes where the session is now: on to the shop or the bank, or to the form.
func (s *Sandbox) showPage(w http.ResponseWriter, r *http.Request, status int, view pages.Checkout, page api.Page) {
	cs := page.Session
	waits := page.Intent != nil && page.Intent.Status == "requires_action"
	switch {
	case cs.Status == "complete" && r.Method == http.MethodPost:
		http.Redirect(w, r, successURL(cs), http.StatusSeeOther)
	case cs.Status == "complete":
		s.page(w, http.StatusOK, pages.Notice{
			Title: "Paid", Text: "This checkout is paid: " + money(cs.AmountTotal, cs.Currency) + ". Nothing more will be charged.",
			Good: true, Link: successURL(cs), Label: "Continue to the shop", Receipt: receiptPath(page),
		})
	case cs.Status == "expired":
		s.page(w, http.StatusGone, pages.Notice{
			Title: "This checkout has expired", Text: "You have not been charged. Go back to the shop and start again.",
			Link: value(cs.CancelURL), Label: "Back to the shop",
		})
	case waits && r.Method == http.MethodPost && view.Error == "":
		http.Redirect(w, r, browserPrefix+"3ds/"+page.Intent.ID, http.StatusSeeOther)
	default:
		if waits {
			view.Challenge = browserPrefix + "3ds/" + page.Intent.ID
		}
		s.page(w, status, checkoutView(view, page), successURL(cs))
	}
}

func receiptPath(page api.Page) string {
	if page.Intent == nil || page.Intent.LatestCharge == nil {
		return ""
	}
	return browserPrefix + "receipts/" + *page.Intent.LatestCharge
}

func checkoutView(view pages.Checkout, page api.Page) pages.Checkout {
	cs := page.Session
	view.Total, view.Cancel, view.Cards = money(cs.AmountTotal, cs.Currency), value(cs.CancelURL), testCards()
	view.Submit = map[string]string{"book": "Book", "donate": "Donate"}[value(cs.SubmitType)]
	if view.Submit == "" {
		view.Submit = "Pay"
	}
	if cs.CustomerEmail != nil {
		view.Email, view.EmailKnown = *cs.CustomerEmail, true
	}
	for _, item := range page.Items {
		view.Items = append(view.Items, pages.Item{
			Name: item.Description, Quantity: item.Quantity, Unit: money(item.Price.UnitAmount, item.Currency), Total: money(item.AmountTotal, item.Currency),
		})
	}
	if p := page.Intent; view.Error == "" && p != nil && p.Status == "requires_payment_method" && p.LastPaymentError != nil {
		view.Error = notCharged(p.LastPaymentError.Message)
	}
	return view
}

func testCards() []pages.TestCard {
	return []pages.TestCard{
		{Number: "4242 4242 4242 4242", What: "is accepted"},
		{Number: "5555 5555 5555 4444", What: "is accepted (MasterCard)"},
		{Number: "4000 0000 0000 3220", What: "asks your bank first (3-D Secure)"},
		{Number: "4000 0000 0000 0002", What: "is declined"},
		{Number: "4000 0000 0000 9995", What: "has not enough funds"},
		{Number: "4000 0000 0000 0069", What: "has expired"},
		{Number: "4000 0000 0000 0127", What: "has a wrong security code"},
	}
}

// payForm turns the form of the page into the parameters of api.PayPage; the text and field of what is
// missing, if something is.
func payForm(form url.Values) (act func(context.Context, *api.Call) (api.Page, error), problem, field string) {
	month, year := expiry(form.Get("expiry"))
	params := map[string]*wire.Value{}
	for name, text := range map[string]string{
		"number": form.Get("number"), "exp_month": month, "exp_year": year, "cvc": form.Get("cvc"), "name": form.Get("name"), "email": form.Get("email"),
	} {
		if text = strings.TrimSpace(text); len(text) > 500 || strings.ContainsRune(text, 0) {
			text = "?"
		}
		params[name] = &wire.Value{Text: strings.ToValidUTF8(text, "?")}
	}
	switch {
	case params["number"].Text == "":
		problem, field = "Enter the number of the card.", "number"
	case month == "" || year == "":
		problem, field = "Enter when the card expires, as month and year: 04 / 30.", "expiry"
	case params["cvc"].Text == "":
		problem, field = "Enter the security code of the card.", "cvc"
	}
	return func(ctx context.Context, c *api.Call) (api.Page, error) {
		c.Form = wire.NewParams(params)
		return api.PayPage(ctx, c)
	}, problem, field
}

// expiry reads 04/30, 4 / 2030, 0430.
func expiry(s string) (month, year string) {
	parts := strings.FieldsFunc(s, func(r rune) bool { return r < '0' || r > '9' })
	switch {
	case len(parts) == 2:
		return parts[0], parts[1]
	case len(parts) == 1 && (len(parts[0]) == 4 || len(parts[0]) == 6):
		return parts[0][:2], parts[0][2:]
	}
	return "", ""
}

// shopperText says what happened, that nothing was charged, and what to do.
func shopperText(e *wire.Error) string {
	if e.Code == "email_invalid" {
		return "Enter an e-mail address, as ada@example.com."
	}
	return notCharged(e.Message)
}

func notCharged(message string) string {
	if strings.Contains(message, "not been charged") {
		return message
	}
	return message + " You have not been charged. Check what you entered, or use another card."
}

func fieldOf(param string) string {
	switch param {
	case "exp_month", "exp_year":
		return "expiry"
	case "number", "cvc", "email":
		return param
	}
	return ""
}

// bankPage is where the shopper says that it is them.
func (s *Sandbox) bankPage(w http.ResponseWriter, r *http.Request, id string) {
	var ch api.Challenge
	act := api.FindChallenge
	if outcome := r.PostForm.Get("outcome"); r.Method == http.MethodPost && (outcome == "complete" || outcome == "fail") {
		act = func(ctx context.Context, c *api.Call) (api.Challenge, error) {
			return api.Authenticate(ctx, c, outcome == "complete")
		}
	}
	err := s.call(r.Context(), func(ctx context.Context, c *api.Call) (err error) {
		s.fromBrowser(c, r, id)
		ch, err = act(ctx, c)
		return err
	})
	var e *wire.Error
	switch {
	case api.IsMissing(err):
		s.page(w, http.StatusNotFound, pages.Notice{Title: "There is no such payment", Text: "The address is wrong, or the sandbox was reset. Nothing was charged."})
	case err != nil && !errors.As(err, &e):
		s.broken(w, err)
	case ch.Intent.Status == "requires_action":
		to := ch.Return
		if ch.Session != nil {
			to = successURL(*ch.Session)
		}
		s.page(w, http.StatusOK, pages.Challenge{Total: money(ch.Intent.Amount, ch.Intent.Currency), Last4: ch.Last4}, to)
	default:
		s.leaveBank(w, r, ch)
	}
}

// leaveBank sends the shopper on: to the shop when it is paid, else back to the checkout.
func (s *Sandbox) leaveBank(w http.ResponseWriter, r *http.Request, ch api.Challenge) {
	paid := ch.Intent.Status == "succeeded" || ch.Intent.Status == "requires_capture"
	switch {
	case ch.Session != nil && paid:
		http.Redirect(w, r, successURL(*ch.Session), http.StatusSeeOther)
	case ch.Session != nil:
		http.Redirect(w, r, browserPrefix+"pay/"+ch.Session.ID, http.StatusSeeOther)
	case ch.Return != "":
		http.Redirect(w, r, returnURL(ch, paid), http.StatusSeeOther)
	case paid:
		s.page(w, http.StatusOK, pages.Notice{Title: "Confirmed", Text: "Your bank has confirmed the payment. You can close this page.", Good: true})
	default:
		s.page(w, http.StatusOK, pages.Notice{Title: "Not confirmed", Text: "You have not been charged. You can close this page."})
	}
}

// receiptPage shows what a charge took and gave back.
func (s *Sandbox) receiptPage(w http.ResponseWriter, r *http.Request, id string) {
	var ch api.Charge
	err := s.call(r.Context(), func(ctx context.Context, c *api.Call) (err error) {
		c.ID = id
		ch, err = api.FindReceipt(ctx, c)
		return err
	})
	switch {
	case api.IsMissing(err):
		s.page(w, http.StatusNotFound, pages.Notice{Title: "There is no such receipt", Text: "The address is wrong, or the sandbox was reset."})
	case err != nil:
		s.broken(w, err)
	default:
		view := pages.Receipt{
			Total: money(ch.Amount, ch.Currency), Description: value(ch.Description), Reference: ch.ID,
			Date: time.Unix(ch.Created, 0).UTC().Format("2 January 2006, 15:04 UTC"),
			Card: ch.PaymentMethodDetails.Card.Brand + " ending in " + ch.PaymentMethodDetails.Card.Last4,
		}
		if ch.AmountRefunded > 0 {
			view.Refunded = money(ch.AmountRefunded, ch.Currency)
		}
		s.page(w, http.StatusOK, view)
	}
}

func returnURL(ch api.Challenge, paid bool) string {
	u, err := url.Parse(ch.Return)
	if err != nil {
		return "/"
	}
	q := u.Query()
	q.Set("payment_intent", ch.Intent.ID)
	q.Set("payment_intent_client_secret", ch.Intent.ClientSecret)
	q.Set("redirect_status", map[bool]string{true: "succeeded", false: "failed"}[paid])
	u.RawQuery = q.Encode()
	return u.String()
}

func successURL(cs api.Session) string {
	url := value(cs.SuccessURL)
	if url == "" {
		url = value(cs.ReturnURL)
	}
	return strings.ReplaceAll(url, "{CHECKOUT_SESSION_ID}", cs.ID)
}

func (s *Sandbox) fromBrowser(c *api.Call, r *http.Request, id string) {
	c.ID, c.Origin, c.ClientIP, c.RequestID = id, s.origin(r), clientIP(r), wire.NewID("req_", 14)
}

func (s *Sandbox) page(w http.ResponseWriter, status int, view any, to ...string) {
	if err := pages.Write(w, status, view, to...); err != nil {
		s.c.Log.Error("sandbox page", "err", err)
		http.Error(w, "The sandbox cannot draw this page.", http.StatusInternalServerError)
	}
}

func (s *Sandbox) broken(w http.ResponseWriter, err error) {
	s.c.Log.Error("sandbox page", "err", err)
	s.page(w, http.StatusInternalServerError, pages.Notice{Title: "Something is wrong on our side", Text: "Do not pay again yet. Go back to the shop: it knows whether you have paid."})
}

func value(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// money names the currency where wire.Money has no sign for it.
func money(amount int64, currency string) string {
	s := wire.Money(amount, currency)
	if s != "" && s[0] >= '0' && s[0] <= '9' {
		s += " " + strings.ToUpper(currency)
	}
	return s
}
