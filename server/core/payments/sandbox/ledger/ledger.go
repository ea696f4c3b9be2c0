package ledger

import "time"

// Move is one move of money, as the journal has it.
type Move struct {
	Seq      int64     `json:"seq" db:"seq"`
	At       time.Time `json:"at" db:"at"`
	Op       string    `json:"op" db:"op"`             // charge, refund, refund_failed, dispute
	Amount   int64     `json:"amount" db:"amount"`     // minor units, positive
	Currency string    `json:"currency" db:"currency"` // lower case
	ObjectID string    `json:"object_id" db:"object_id"`
	ChargeID string    `json:"charge_id" db:"charge_id"`
	Key      string    `json:"key" db:"key"` // the caller's idempotency key, or empty
}
