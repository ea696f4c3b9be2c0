// Package api is what the sandbox's endpoints do: one file a resource, and Routes, where an endpoint is
// one line. A handler reads its parameters, asks Form.Done, then works inside the transaction of its
// Call; what it returns is what Stripe would show.
//
// Objects have the shape of version 2023-10-16; package render adds what older callers expect, and expands.
// An error is a *wire.Error when Stripe would answer so. One with Keep commits the work done.
// Every change emits its event and every move of money its journal row, in the same transaction.
package api

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"crema/server/core/payments/sandbox/ledger"
	"crema/server/core/payments/sandbox/wire"
)

// Call is one request while it is answered.
type Call struct {
	Tx        *ledger.Tx
	Form      *wire.Params
	Expand    []string
	Path      string // of the request
	ID        string // the :id of the path
	Now       time.Time
	Version   string // the Stripe-Version the caller sent, or empty
	RequestID string
	Key       string // the idempotency key, or empty
	ClientIP  string
	Origin    string                 // of the hosted pages, without a final slash
	Secret    func(id string) string // the signing secret of a webhook endpoint; it is not stored
}

// Handler answers a call with an object, a *List or an error.
type Handler func(context.Context, *Call) (any, error)

// Route is one endpoint.
type Route struct {
	Method string
	Path   string // may hold ":id"
	Do     Handler
	Public bool // the publishable key is enough
}

const get, post, del = http.MethodGet, http.MethodPost, http.MethodDelete

// Routes returns all endpoints.
func Routes() []Route {
	return slices.Concat(chargeRoutes(), checkoutRoutes(), accountRoutes())
}

func chargeRoutes() []Route {
	return []Route{
		{post, "/v1/tokens", createToken, true},
		{get, "/v1/tokens/:id", getToken, false},

		{post, "/v1/charges", createCharge, false},
		{get, "/v1/charges", listCharges, false},
		{get, "/v1/charges/:id", getCharge, false},
		{post, "/v1/charges/:id", updateCharge, false},
		{post, "/v1/charges/:id/capture", captureCharge, false},
		{get, "/v1/charges/:id/refunds", listChargeRefunds, false},
		{post, "/v1/charges/:id/refunds", createChargeRefund, false},
		{post, "/v1/charges/:id/refund", refundCharge, false},

		{post, "/v1/refunds", createRefund, false},
		{get, "/v1/refunds", listRefunds, false},
		{get, "/v1/refunds/:id", getRefund, false},
		{post, "/v1/refunds/:id", updateRefund, false},
	}
}

func checkoutRoutes() []Route {
	return []Route{
		{post, "/v1/payment_methods", createMethod, false},
		{get, "/v1/payment_methods/:id", getMethod, false},
		{post, "/v1/payment_methods/:id", updateMethod, false},
		{post, "/v1/payment_methods/:id/attach", attachMethod, false},
		{post, "/v1/payment_methods/:id/detach", detachMethod, false},

		{post, "/v1/payment_intents", createIntent, false},
		{get, "/v1/payment_intents", listIntents, false},
		{get, "/v1/payment_intents/:id", getIntent, false},
		{post, "/v1/payment_intents/:id", updateIntent, false},
		{post, "/v1/payment_intents/:id/confirm", confirmIntent, false},
		{post, "/v1/payment_intents/:id/cancel", cancelIntent, false},
		{post, "/v1/payment_intents/:id/capture", captureIntent, false},

		{post, "/v1/checkout/sessions", createSession, false},
		{get, "/v1/checkout/sessions", listSessions, false},
		{get, "/v1/checkout/sessions/:id", getSession, false},
		{post, "/v1/checkout/sessions/:id/expire", expireSession, false},
		{get, "/v1/checkout/sessions/:id/line_items", listLineItems, false},
		{get, "/v1/payment_pages/:id", getPage, false},
		{post, "/v1/payment_pages/:id/confirm", confirmPage, false},
	}
}

func accountRoutes() []Route {
	return []Route{
		{post, "/v1/customers", createCustomer, false},
		{get, "/v1/customers", listCustomers, false},
		{get, "/v1/customers/:id", getCustomer, false},
		{post, "/v1/customers/:id", updateCustomer, false},
		{del, "/v1/customers/:id", deleteCustomer, false},
		{get, "/v1/customers/:id/sources", listSources, false},
		{post, "/v1/customers/:id/sources", createSource, false},

		{get, "/v1/events", listEvents, false},
		{get, "/v1/events/:id", getEvent, false},

		{post, "/v1/webhook_endpoints", createEndpoint, false},
		{get, "/v1/webhook_endpoints", listEndpoints, false},
		{get, "/v1/webhook_endpoints/:id", getEndpoint, false},
		{post, "/v1/webhook_endpoints/:id", updateEndpoint, false},
		{del, "/v1/webhook_endpoints/:id", deleteEndpoint, false},

		{get, "/v1/disputes", listDisputes, false},
		{get, "/v1/disputes/:id", getDispute, false},
		{post, "/v1/disputes/:id/close", closeDispute, false},
		{get, "/v1/balance", getBalance, false},
		{get, "/v1/balance_transactions", listBalanceTransactions, false},
		{get, "/v1/balance_transactions/:id", getBalanceTransaction, false},
		{get, "/v1/balance/history", listBalanceTransactions, false}, // as old clients call it
		{get, "/v1/balance/history/:id", getBalanceTransaction, false},
		{get, "/v1/account", getAccount, false},
	}
}

// Match finds the route of a request and the :id of its path; false when there is none.
func Match(routes []Route, method, path string) (Route, string, bool) {
	for _, r := range routes {
		if id, ok := r.match(path); ok && r.Method == method {
			return r, id, true
		}
	}
	return Route{}, "", false
}

func (r Route) match(path string) (string, bool) {
	before, after, dynamic := strings.Cut(r.Path, ":id")
	if !dynamic {
		return "", path == r.Path
	}
	rest, ok := strings.CutPrefix(path, before)
	if !ok {
		return "", false
	}
	id, ok := strings.CutSuffix(rest, after)
	return id, ok && id != "" && !strings.Contains(id, "/")
}
