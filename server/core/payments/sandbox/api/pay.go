package api

import (
	"context"
	"errors"
	"net/http"
	"time"

	"crema/server/core/payments/sandbox/ledger"
	"crema/server/core/payments/sandbox/wire"
)

// Page is a session as its hosted page sees it.
type Page struct {
	Session Session
	Items   []LineItem
	Intent  *Intent // nil until the shopper tries to pay
}

// FindPage returns the session of the path, expired if its time has come; a 404 when there is none.
func FindPage(ctx context.Context, c *Call) (Page, error) {
	s, hidden, err := lockSession(ctx, c)
	if err != nil {
		return Page{}, err
	}
	page := Page{Session: s, Items: hidden.Items}
	if s.PaymentIntent == nil {
		return page, nil
	}
	p, _, err := find[Intent](ctx, c, kindIntent, *s.PaymentIntent, "intent")
	page.Intent = &p
	return page, err
}

// PayPage pays the session of the path with the card in the form: number, exp_month, exp_year, cvc, name,
// address_zip, and email. A session that is paid already is returned as it is: the second of two presses
// changes nothing. A decline is a *wire.Error with Keep, beside the page as it is then.
func PayPage(ctx context.Context, c *Call) (Page, error) {
	f := c.Form
	mail := email(f, "email")
	card, hidden, refusal := readCard(c, f)
	if f.Done() == nil && refusal == nil {
		if err := c.payPage(ctx, newMethod(c, card, hidden), hidden, mail); err != nil {
			page, again := FindPage(ctx, c)
			if again != nil {
				return page, again
			}
			return page, err
		}
		return FindPage(ctx, c)
	}
	page, err := FindPage(ctx, c)
	switch {
	case err != nil || page.Session.Status != "open":
		return page, err
	case f.Done() != nil:
		return page, f.Done()
	}
	return page, refusal
}

func (c *Call) payPage(ctx context.Context, m Method, hidden behaviour, mail *string) error {
	s, _, err := lockSession(ctx, c)
	if err != nil || s.Status != "open" {
		return err
	}
	if mail == nil && s.CustomerDetails == nil && s.Customer == nil {
		return wire.InvalidCode("parameter_missing", "email", "Enter an e-mail address for the receipt.")
	}
	if m.BillingDetails.Email = mail; s.CustomerEmail != nil {
		m.BillingDetails.Email = s.CustomerEmail
	}
	if err := c.insert(ctx, kindMethod, m.ID, m, methodHidden{behaviour: hidden}); err != nil {
		return err
	}
	return c.paySession(ctx, m.ID)
}

// paySession confirms the intent of the open session of the path, which the caller has locked.
func (c *Call) paySession(ctx context.Context, method string) error {
	s, hidden, err := lockSession(ctx, c)
	if err != nil {
		return err
	}
	if c.Key == "" {
		c.Key = hidden.Key
	}
	p, mine, err := c.intentOf(ctx, &s, hidden)
	if err != nil {
		return err
	}
	if err := c.confirmable(p); err != nil {
		return err
	}
	if err := c.choose(ctx, &p, method); err != nil {
		return err
	}
	var back *string
	if s.URL != nil {
		back = s.URL
	}
	return c.confirm(ctx, &p, &mine, confirmation{returnURL: back})
}

// intentOf returns the intent of a session, locked; it is made when the shopper pays for the first time.
func (c *Call) intentOf(ctx context.Context, s *Session, hidden sessionHidden) (Intent, intentHidden, error) {
	mine := intentHidden{Session: s.ID}
	if s.PaymentIntent != nil {
		p, o, err := lock[Intent](ctx, c, kindIntent, *s.PaymentIntent, "intent")
		if err != nil {
			return p, mine, err
		}
		return p, mine, unmarshal(o.Hidden, &mine)
	}
	p := hidden.Intent
	p.Created, s.PaymentIntent = c.Now.Unix(), &p.ID
	if err := c.insert(ctx, kindIntent, p.ID, p, mine); err != nil {
		return p, mine, err
	}
	if err := c.saveSession(ctx, *s, hidden); err != nil {
		return p, mine, err
	}
	return p, mine, c.emit(ctx, "payment_intent.created", p, nil)
}

func (c *Call) saveSession(ctx context.Context, s Session, hidden sessionHidden) error {
	return c.update(ctx, ledger.Object{ID: s.ID}, s, hidden)
}

// lockSession locks the session of the path; it is expired when its time has come.
func lockSession(ctx context.Context, c *Call) (s Session, hidden sessionHidden, err error) {
	s, o, err := lockPath[Session](ctx, c, kindSession, "session")
	if err != nil {
		return s, hidden, err
	}
	if err := unmarshal(o.Hidden, &hidden); err != nil {
		return s, hidden, err
	}
	if s.Status == "open" && c.Now.Unix() >= s.ExpiresAt {
		return c.expireNow(ctx, s, hidden)
	}
	return s, hidden, nil
}

// paid completes the session that an intent pays; "" is none.
func (c *Call) paid(ctx context.Context, p Intent, session string) error {
	if session == "" {
		return nil
	}
	s, o, err := lock[Session](ctx, c, kindSession, session, "session")
	if err != nil {
		return err
	}
	var hidden sessionHidden
	if err := unmarshal(o.Hidden, &hidden); err != nil {
		return err
	}
	completes := s.Status == "open"
	s.Status, s.URL, hidden.Due = "complete", nil, 0
	if p.Status == "succeeded" {
		s.PaymentStatus = "paid"
	}
	if completes {
		if err := c.describe(ctx, &s, p); err != nil {
			return err
		}
	}
	if err := c.saveSession(ctx, s, hidden); err != nil || !completes {
		return err
	}
	return c.emit(ctx, "checkout.session.completed", s, nil)
}

// describe writes down who paid.
func (c *Call) describe(ctx context.Context, s *Session, p Intent) error {
	if p.PaymentMethod == nil {
		return nil
	}
	m, _, err := find[Method](ctx, c, kindMethod, *p.PaymentMethod, "payment_method")
	if err != nil {
		return err
	}
	b := m.BillingDetails
	s.CustomerDetails = &CustomerDetails{Address: &b.Address, Email: b.Email, Name: b.Name, Phone: b.Phone, TaxExempt: "none", TaxIDs: []any{}}
	if s.CustomerEmail != nil {
		s.CustomerDetails.Email = s.CustomerEmail
	}
	return nil
}

func expireSession(ctx context.Context, c *Call) (any, error) {
	if err := c.Form.Done(); err != nil {
		return nil, err
	}
	s, hidden, err := lockSession(ctx, c)
	if err != nil {
		return nil, err
	}
	if s.Status != "open" {
		return nil, wire.Invalid("", "Only Checkout Sessions with a status in [\"open\"] can be expired. This Checkout Session has a status of %s.", s.Status)
	}
	s, _, err = c.expireNow(ctx, s, hidden)
	return s, err
}

// expireNow ends a session unpaid, and its intent with it.
func (c *Call) expireNow(ctx context.Context, s Session, hidden sessionHidden) (Session, sessionHidden, error) {
	s.Status, s.URL, hidden.Due = "expired", nil, 0
	if s.PaymentIntent != nil {
		p, o, err := lock[Intent](ctx, c, kindIntent, *s.PaymentIntent, "intent")
		if err != nil {
			return s, hidden, err
		}
		var mine intentHidden
		if err := unmarshal(o.Hidden, &mine); err != nil {
			return s, hidden, err
		}
		if p.Status != "canceled" {
			if _, err := c.cancelNow(ctx, p, mine, text("automatic")); err != nil {
				return s, hidden, err
			}
		}
	}
	if err := c.saveSession(ctx, s, hidden); err != nil {
		return s, hidden, err
	}
	return s, hidden, c.emit(ctx, "checkout.session.expired", s, nil)
}

// Settle does what is due at the time of the call: sessions expire and refunds change their status. The
// sandbox does it on every look at them, and the courier every second.
func Settle(ctx context.Context, c *Call) error {
	due, err := c.Tx.Due(ctx, kindSession, c.Now.Unix())
	if err != nil {
		return err
	}
	for _, o := range due {
		s, _, err := decode[Session](o, nil, kindSession, o.ID, "session")
		if err != nil {
			return err
		}
		var hidden sessionHidden
		if err := unmarshal(o.Hidden, &hidden); err != nil {
			return err
		}
		if _, _, err := c.expireNow(ctx, s, hidden); err != nil {
			return err
		}
	}
	return settleRefunds(ctx, c)
}

// getPage answers what a hosted page needs to know, for tests without a browser.
func getPage(ctx context.Context, c *Call) (any, error) {
	if err := c.Form.Done(); err != nil {
		return nil, err
	}
	page, err := FindPage(ctx, c)
	if err != nil {
		return nil, err
	}
	return page.Session, nil
}

// confirmPage pays a session with a payment method, as its page would.
func confirmPage(ctx context.Context, c *Call) (any, error) {
	method, mail := c.Form.Required("payment_method"), email(c.Form, "email")
	expected, given := c.Form.OptionalInt("expected_amount")
	if err := c.Form.Done(); err != nil {
		return nil, err
	}
	s, hidden, err := lockSession(ctx, c)
	switch {
	case err != nil:
		return nil, err
	case s.Status == "complete":
		return s, nil
	case s.Status == "expired":
		return nil, wire.Invalid("", "This Checkout Session has expired. Create a new one.")
	case given && expected != s.AmountTotal:
		return nil, wire.Invalid("expected_amount", "The session's amount is %d, not %d.", s.AmountTotal, expected)
	}
	if mail != nil && s.CustomerEmail == nil {
		s.CustomerEmail = mail
		if err := c.saveSession(ctx, s, hidden); err != nil {
			return nil, err
		}
	}
	if err := c.paySession(ctx, method); err != nil {
		return nil, err
	}
	s, _, err = lockSession(ctx, c)
	return s, err
}

// ByClock is a call that no request caused: the clock did.
func ByClock(tx *ledger.Tx, now time.Time) *Call {
	return &Call{Tx: tx, Form: wire.NewParams(nil), Now: now, RequestID: "req_clock"}
}

// FindReceipt returns the charge of the path; a 404 when there is none that succeeded.
func FindReceipt(ctx context.Context, c *Call) (Charge, error) {
	ch, _, err := find[Charge](ctx, c, kindCharge, c.ID, "charge")
	var e *wire.Error
	if errors.As(err, &e) || err == nil && !ch.Paid {
		err = wire.NoSuch(kindCharge, c.ID, "charge").Path()
	}
	return ch, err
}

// IsMissing says that an object of the path does not exist.
func IsMissing(err error) bool {
	var e *wire.Error
	return errors.As(err, &e) && e.Status == http.StatusNotFound
}
