package lambdas

import (
	"context"

	"crema/server/lambda"
)

type checkoutIn struct {
	Items    []checkoutItem `json:"items"`
	Email    string         `json:"email" lambda:"optional"`
	OrderKey string         `json:"order_key"` // the page's name for this purchase
}

type checkoutItem struct {
	ProductID string `json:"product_id"`
	Quantity  int64  `json:"quantity"`
}

// checkoutOut tells where to go: URL while the order is to be paid, StatusURL when there is nothing to
// pay any more, or why no checkout was opened.
type checkoutOut struct {
	Status    lambda.PaymentStatus `json:"status"`
	OrderID   string               `json:"order_id,omitempty"`
	URL       string               `json:"url,omitempty"`
	StatusURL string               `json:"status_url,omitempty"`
	Error     *paymentError        `json:"error,omitempty"`
}

// createCheckout opens the provider's page for a basket. The browser goes there by itself.
func createCheckout(ctx context.Context, c *lambda.Call, in checkoutIn) (checkoutOut, error) {
	items := make([]lambda.CheckoutItem, len(in.Items))
	for i, item := range in.Items {
		items[i] = lambda.CheckoutItem{Product: item.ProductID, Quantity: item.Quantity}
	}
	p, err := c.Payments.OpenCheckout(ctx, lambda.Checkout{Items: items, Email: in.Email, OrderKey: in.OrderKey})
	if err != nil {
		return checkoutOut{}, err
	}
	out := checkoutOut{Status: p.Status, OrderID: p.OrderID, URL: p.URL, StatusURL: p.StatusURL}
	if p.Code != "" {
		out.Error = &paymentError{Code: p.Code, Message: p.Message, Retryable: p.Retryable, OrderID: p.OrderID, StatusURL: p.StatusURL}
	}
	return out, nil
}
