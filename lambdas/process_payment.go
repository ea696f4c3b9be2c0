package lambdas

import (
	"context"

	"crema/server/lambda"
)

// paymentIn has the names that the coffee shop's page has always sent.
type paymentIn struct {
	ProductName  string `json:"product_name"`
	ProductPrice int64  `json:"product_price"` // minor units; only compared, the catalogue decides
	StripeToken  string `json:"stripe_token"`
	UserEmail    string `json:"user_email"`
	OrderKey     string `json:"order_key" lambda:"optional"` // equal keys never pay twice
}

// paymentOut is either Result with the payment_record, as saving a record answers, or Results "failed"
// with a reason. Both come with HTTP 200: a refused card is an answer, not an error.
type paymentOut struct {
	Result    []lambda.Record `json:"result,omitempty"`
	Results   string          `json:"results,omitempty"`
	Error     *paymentError   `json:"error,omitempty"`
	OrderID   string          `json:"order_id,omitempty"`
	StatusURL string          `json:"status_url,omitempty"` // the order's page
}

type paymentError struct {
	Code      string `json:"code"`
	Message   string `json:"message"`
	Retryable bool   `json:"retryable"`
	OrderID   string `json:"order_id,omitempty"`
	StatusURL string `json:"status_url,omitempty"`
}

// processPayment charges the card token for one bag of beans.
func processPayment(ctx context.Context, c *lambda.Call, in paymentIn) (paymentOut, error) {
	p, err := c.Payments.PayWithToken(ctx, lambda.TokenPayment{
		Product:  in.ProductName,
		Price:    &in.ProductPrice,
		Token:    in.StripeToken,
		Email:    in.UserEmail,
		OrderKey: in.OrderKey,
	})
	if err != nil {
		return paymentOut{}, err
	}
	if p.Status != lambda.Paid {
		return paymentOut{Results: "failed", Error: &paymentError{
			Code: p.Code, Message: p.Message, Retryable: p.Retryable, OrderID: p.OrderID, StatusURL: p.StatusURL,
		}}, nil
	}
	return paymentOut{Result: []lambda.Record{*p.Record}, OrderID: p.OrderID, StatusURL: p.StatusURL}, nil
}
