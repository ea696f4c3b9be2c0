package checkout

import (
	"cmp"
	"strings"

	"crema/server/core/payments"
	"crema/server/core/payments/money"
	"crema/server/web/checkout/pages"
)

// shop is who sells, with the warning that belongs on every page while no real money moves.
func (d *Door) shop() pages.Shop {
	s := pages.Shop{Name: cmp.Or(d.c.ShopName, "Shop"), Contact: d.c.Contact}
	switch d.c.Payments.Mode() {
	case payments.Sandbox:
		s.Prefix, s.Banner = "Sandbox – ", sandboxBanner
	case payments.Test:
		s.Prefix, s.Banner = "Test – ", testBanner
	}
	return s
}

// describe says an order in words, each state with the next step.
func (d *Door) describe(v payments.View, returned bool) pages.Order {
	p := pages.Order{
		Shop: d.shop(), ID: v.ID, Total: v.Total, Refunded: v.Refunded, Date: v.CreatedAt, Card: card(v), Reference: v.Reference, Link: v.Link,
		Status: string(shown(v, returned)),
	}
	for _, i := range v.Items {
		p.Rows = append(p.Rows, pages.Row{
			Name: i.Name, Quantity: i.Quantity, Unit: money.Money{Minor: i.UnitAmount, Currency: v.Total.Currency},
			Sum: money.Money{Minor: i.UnitAmount * i.Quantity, Currency: v.Total.Currency},
		})
	}
	for _, f := range v.Refunds {
		p.Refunds = append(p.Refunds, pages.Refund(f))
	}
	if v.PaidAt != nil {
		p.Date = *v.PaidAt
	}
	say(&p, v)
	if p.Refresh > 0 {
		p.StatusPath = strings.Replace(v.Link, "?", "/status.json?", 1)
		if returned {
			p.StatusPath, p.Link = p.StatusPath+"&cs=1", p.Link+"&cs=1"
		}
	}
	return p
}

// say finds the words for an order's state.
func say(p *pages.Order, v payments.View) {
	switch payments.Status(p.Status) {
	case payments.StatusOpen:
		p.Icon, p.Heading, p.Checkout = "plain", "Your order is not paid yet", v.CheckoutURL
		p.Lead, p.Retry = "Nothing has been charged. Go on to the secure checkout when you are ready.", "Back to the shop"
	case payments.StatusProcessing:
		p.Icon, p.Heading, p.Warning = "wait", "We are confirming your payment", "Do not pay again."
		p.Lead = "This can take a minute, and this page stays valid."
		if p.Refresh = refreshAfter(v); p.Refresh > hasty {
			p.Lead = "It takes longer than usual, and we are looking into it. This page stays valid: you can come back to it at any time."
		}
	case payments.StatusPaid:
		p.Icon, p.Heading, p.Receipt = "paid", "Thank you. Your payment went through.", true
		p.Lead, p.Retry = "This is your receipt. Keep this page's address: it shows how your order stands at any time.", "Buy more beans"
	case payments.StatusFailed:
		p.Icon, p.Heading, p.Lead, p.Retry = "bad", "The payment did not go through", v.Message, "Try again"
	case payments.StatusCancelled:
		p.Icon, p.Heading, p.Lead, p.Retry = "plain", "You left the checkout", "Nothing was charged. Your basket is still in the shop, if you change your mind.", "Back to the shop"
	default:
		sayAfterwards(p, v)
	}
}

// sayAfterwards finds the words for what may happen to a paid order.
func sayAfterwards(p *pages.Order, v payments.View) {
	p.Receipt, p.Retry = true, "Back to the shop"
	const slow = " Banks often need five to ten days to show it."
	switch v.Status {
	case payments.StatusPartiallyRefunded:
		p.Icon, p.Heading, p.Lead = "back", "Part of your payment was refunded", "The amount below goes back to the card that you paid with."+slow
	case payments.StatusRefunded:
		p.Icon, p.Heading, p.Lead = "back", "Your payment was refunded", "All of it goes back to the card that you paid with."+slow
	case payments.StatusDisputed:
		p.Icon, p.Heading = "wait", "This payment is under review"
		p.Lead = "It was questioned at the bank, and the bank decides about it. You need to do nothing here; write to us if this surprises you."
	}
}

var brands = map[string]string{
	"visa": "Visa", "mastercard": "Mastercard", "amex": "American Express", "discover": "Discover", "diners": "Diners Club", "jcb": "JCB",
	"unionpay": "UnionPay",
}

// card is "Visa ending in 4242", "" when nothing is known.
func card(v payments.View) string {
	if v.Last4 == "" {
		return ""
	}
	return cmp.Or(brands[strings.ToLower(v.Card)], v.Card, "Card") + " ending in " + v.Last4
}
