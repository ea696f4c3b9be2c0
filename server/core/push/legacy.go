package push

import (
	"context"
	"encoding/json"
	"fmt"

	"crema/server/base/pg"
)

// oldQuery is how Skygear stored the query of a subscription: its own structures, not those of the wire.
type oldQuery struct {
	Type      string
	Predicate oldPredicate
}

type oldPredicate struct {
	Operator int
	Children []json.RawMessage // predicates below and, or, not; else expressions
}

type oldExpression struct {
	Type  int
	Value json.RawMessage
}

// Skygear's numbers: operators from 1, of which the first three join predicates, and kinds of expression.
var oldOperators = []string{1: "and", 2: "or", 3: "not", 4: "eq", 5: "gt", 6: "lt", 7: "gte", 8: "lte", 9: "neq", 10: "like", 11: "ilike", 12: "in"}

const (
	lastJunction = 3
	oldLiteral   = 1
	oldKeyPath   = 2
)

// modernize adds to the queries that an old database brings what they are on the wire; what is there stays.
// One that cannot be understood is left alone and tells nobody anything.
func (s *Service) modernize(ctx context.Context) error {
	return s.db.Tx(ctx, func(ctx context.Context, tx *pg.Tx) error {
		var old []subscriber
		if err := tx.Select(ctx, &old, selectOldQueries); err != nil {
			return err
		}
		for _, o := range old {
			query, err := onTheWire(o.Query)
			if err != nil {
				s.log.WarnContext(ctx, "the query of an old subscription is not understood", "device", o.DeviceID, "subscription", o.ID, "error", err)
				continue
			}
			if _, err := tx.Exec(ctx, updateQuery, o.Database, o.DeviceID, o.ID, string(query)); err != nil {
				return err
			}
		}
		return nil
	})
}

func onTheWire(raw json.RawMessage) (json.RawMessage, error) {
	var q oldQuery
	if err := json.Unmarshal(raw, &q); err != nil {
		return nil, err
	}
	wire := map[string]any{"record_type": q.Type}
	if q.Predicate.Operator != 0 {
		p, err := q.Predicate.onTheWire()
		if err != nil {
			return nil, err
		}
		wire["predicate"] = p
	}
	return json.Marshal(wire)
}

func (p oldPredicate) onTheWire() ([]any, error) {
	if p.Operator < 1 || p.Operator >= len(oldOperators) {
		return nil, fmt.Errorf("operator %d is not known", p.Operator)
	}
	list := []any{oldOperators[p.Operator]}
	for _, raw := range p.Children {
		var child any
		var err error
		if p.Operator <= lastJunction {
			var below oldPredicate
			if err = json.Unmarshal(raw, &below); err == nil {
				child, err = below.onTheWire()
			}
		} else {
			child, err = operandOnTheWire(raw)
		}
		if err != nil {
			return nil, err
		}
		list = append(list, child)
	}
	return list, nil
}

func operandOnTheWire(raw json.RawMessage) (any, error) {
	var e oldExpression
	if err := json.Unmarshal(raw, &e); err != nil {
		return nil, err
	}
	switch e.Type {
	case oldKeyPath:
		return map[string]any{"$type": "keypath", "$val": e.Value}, nil
	case oldLiteral:
		var ref struct{ ID string }
		if json.Unmarshal(e.Value, &ref) == nil && ref.ID != "" {
			return map[string]any{"$type": "ref", "$id": ref.ID}, nil
		}
		return e.Value, nil
	}
	return nil, fmt.Errorf("expressions of type %d are not known", e.Type)
}
