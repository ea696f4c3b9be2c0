// Package payments takes money: at most one succeeded charge per order, and every succeeded charge
// ends in one paid order with one payment_record.
//
// Way in: Service.PayWithToken for a card token, Products for the catalogue, Start and Stop for the
// reconciler that finishes what a dead server or a lost reply left open.
//
// Tables: _product, _order, _order_item, _payment (one row an attempt), _payment_transition (append
// only), and the record table payment_record. Invariants: an attempt is written before the provider is
// called and its id is the provider's idempotency key; a unique index allows one open attempt an
// order; no transaction is open during a call; states only move forward; outcome, order and
// payment_record are stored in one transaction; an outcome that is not known is a state, never an
// error, and nobody is told "not charged" before that is final.
//
// A card token is kept only encrypted, under a key that comes from the provider's secret key, and only
// until its attempt is final.
package payments
