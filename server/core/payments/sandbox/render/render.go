package render

import (
	"bytes"
	"context"
	"encoding/json"
	"math"
	"slices"
	"strings"

	"crema/server/base/fault"
	"crema/server/core/payments/sandbox/ledger"
	"crema/server/core/payments/sandbox/wire"
)

// List is a page of objects.
type List struct {
	Object  string            `json:"object"`
	Data    []json.RawMessage `json:"data"`
	HasMore bool              `json:"has_more"`
	URL     string            `json:"url"`
}

// NewList makes a page of the objects; Data is never null.
func NewList(url string, objects []ledger.Object, more bool) *List {
	l := &List{Object: "list", URL: url, HasMore: more, Data: []json.RawMessage{}}
	for _, o := range objects {
		l.Data = append(l.Data, o.Data)
	}
	return l
}

// LineItems is the list in what a session hides.
func LineItems(session ledger.Object) (*List, error) {
	var hidden struct {
		Items []json.RawMessage `json:"items"`
	}
	if err := json.Unmarshal(session.Hidden, &hidden); err != nil {
		return nil, fault.Wrap(err, fault.Internal, "sandbox.stored", "a stored object cannot be read")
	}
	l := NewList("/v1/checkout/sessions/"+session.ID+"/line_items", nil, false)
	l.Data = append(l.Data, hidden.Items...)
	return l, nil
}

// Caller is who asked, as far as the answer depends on it.
type Caller struct {
	Tx      *ledger.Tx
	Version string   // the Stripe-Version that was sent, or empty
	Expand  []string // dotted paths
}

// JSON encodes what a handler returned: expanded as the caller asked, in the shape of its version. Fails
// with a 400 *wire.Error about expand.
func (c *Caller) JSON(ctx context.Context, result any) ([]byte, error) {
	raw, err := json.Marshal(result)
	if err != nil {
		return nil, fault.From(err)
	}
	tree, err := parse(raw)
	if err != nil {
		return nil, err
	}
	if node, ok := tree.(map[string]any); ok {
		if err := c.shape(ctx, node); err != nil {
			return nil, err
		}
	}
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	err = e.Encode(tree)
	return out.Bytes(), err
}

// parse keeps whole numbers whole.
func parse(raw []byte) (tree any, err error) {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	if err := d.Decode(&tree); err != nil {
		return nil, fault.Wrap(err, fault.Internal, "sandbox.stored", "a stored object cannot be read")
	}
	return tree, nil
}

func (c *Caller) shape(ctx context.Context, node map[string]any) error {
	nodes := []any{node}
	if node["object"] == "list" {
		nodes, _ = node["data"].([]any)
	}
	for _, n := range nodes {
		m, _ := n.(map[string]any)
		c.newWords(m)
		if data, ok := m["data"].(map[string]any); ok { // an event's
			inner, _ := data["object"].(map[string]any)
			c.newWords(inner)
		}
		if c.Version < "2022-11-15" {
			if err := c.oldShape(ctx, m); err != nil {
				return err
			}
		}
	}
	for _, path := range c.Expand {
		if strings.Count(path, ".") > 3 {
			return wire.Invalid("expand", "You may only expand up to 4 levels of a property (%s).", path)
		}
		if err := c.expand(ctx, node, strings.Split(path, "."), path); err != nil {
			return err
		}
	}
	return nil
}

// newWords renames the ways to show a session, as version 2026-03-25 did.
func (c *Caller) newWords(m map[string]any) {
	mode, _ := m["ui_mode"].(string)
	if c.Version >= "2026-03-25" && mode != "" {
		m["ui_mode"] = mode + "_page"
	}
}

// oldShape adds the lists that came expanded before 2022-11-15 (charges) and 2020-08-27 (customers).
// A caller without a version gets them too.
func (c *Caller) oldShape(ctx context.Context, m map[string]any) error {
	for _, field := range unasked[kindOf(m)] {
		if m["deleted"] == true {
			continue
		}
		if _, err := c.expandField(ctx, m, field); err != nil {
			return err
		}
	}
	return nil
}

func kindOf(m map[string]any) string {
	s, _ := m["object"].(string)
	return s
}

// expandable lists, by kind, the fields that hold ids and the kind behind them; "" is a kind that the
// sandbox never makes, so that the field is always null.
var expandable = map[string]map[string]string{
	"charge": {
		"balance_transaction": "balance_transaction", "customer": "customer", "failure_balance_transaction": "balance_transaction",
		"application": "", "application_fee": "", "invoice": "", "on_behalf_of": "", "payment_intent": "payment_intent",
		"review": "", "source_transfer": "", "transfer": "",
	},
	"refund": {
		"balance_transaction": "balance_transaction", "charge": "charge", "failure_balance_transaction": "balance_transaction",
		"payment_intent": "payment_intent", "source_transfer_reversal": "", "transfer_reversal": "",
	},
	"customer": {"default_source": "card", "test_clock": ""},
	"card":     {"customer": "customer"},
	"dispute":  {"charge": "charge", "payment_intent": "payment_intent"},
	"payment_intent": {
		"latest_charge": "charge", "customer": "customer", "payment_method": "payment_method", "application": "", "invoice": "",
		"on_behalf_of": "", "review": "", "source": "",
	},
	"payment_method": {"customer": "customer"},
	"checkout.session": {
		"customer": "customer", "payment_intent": "payment_intent", "invoice": "", "payment_link": "", "setup_intent": "", "subscription": "",
	},
	"balance_transaction": {"source": "any"},
}

// lists are the fields that hold a list when they are expanded.
var lists = map[string][]string{
	"charge": {"refunds"}, "customer": {"sources", "subscriptions", "tax_ids"}, "payment_intent": {"charges"},
	"checkout.session": {"line_items"},
}

// unasked are those that old versions show without being asked.
var unasked = map[string][]string{"charge": lists["charge"], "customer": lists["customer"], "payment_intent": lists["payment_intent"]}

// expand follows path from node and replaces the ids on its way by objects. whole is for the message.
func (c *Caller) expand(ctx context.Context, node map[string]any, path []string, whole string) error {
	if len(path) == 0 {
		return nil
	}
	if kindOf(node) == "list" {
		return c.expandItems(ctx, node, path, whole)
	}
	known, err := c.expandField(ctx, node, path[0])
	if err != nil {
		return err
	}
	if !known {
		return wire.Invalid("expand", "This property cannot be expanded (%s).", whole)
	}
	if next, ok := node[path[0]].(map[string]any); ok {
		return c.expand(ctx, next, path[1:], whole)
	}
	return nil
}

func (c *Caller) expandItems(ctx context.Context, list map[string]any, path []string, whole string) error {
	if path[0] != "data" {
		return wire.Invalid("expand", "This property cannot be expanded (%s). Begin the names of a list with data.", whole)
	}
	items, _ := list["data"].([]any)
	for _, item := range items {
		if m, ok := item.(map[string]any); ok {
			if err := c.expand(ctx, m, path[1:], whole); err != nil {
				return err
			}
		}
	}
	return nil
}

// expandField expands one field of m; false when it cannot be expanded.
func (c *Caller) expandField(ctx context.Context, m map[string]any, field string) (bool, error) {
	kind := kindOf(m)
	if slices.Contains(lists[kind], field) {
		if m[field] != nil {
			return true, nil
		}
		list, err := c.embedded(ctx, kind, m["id"], field)
		m[field] = list
		return true, err
	}
	target, known := expandable[kind][field]
	id, isID := m[field].(string)
	if !known || !isID {
		// The source of a charge is an object already.
		return known || field == "source" && kind == "charge", nil
	}
	if target == "any" {
		target = kindByID(id)
	}
	o, err := c.Tx.Find(ctx, target, id)
	if err != nil {
		return true, err
	}
	m[field], err = parse(o.Data)
	return true, err
}

func kindByID(id string) string {
	prefix, _, _ := strings.Cut(id, "_")
	return map[string]string{"ch": "charge", "re": "refund", "dp": "dispute"}[prefix]
}

// embedded returns the list in a field of a charge or a customer: its newest ten items.
func (c *Caller) embedded(ctx context.Context, kind string, id any, field string) (any, error) {
	s, _ := id.(string)
	if field == "line_items" {
		o, err := c.Tx.Find(ctx, kind, s)
		if err != nil {
			return nil, err
		}
		items, err := LineItems(o)
		if err != nil {
			return nil, err
		}
		return tree(items)
	}
	url := "/v1/" + kind + "s/" + s + "/" + field
	items := map[string]string{"refunds": "refund", "sources": "card", "charges": "charge"}[field]
	if items == "" {
		return tree(NewList(url, nil, false))
	}
	objects, more, err := c.Tx.List(ctx, ledger.Query{Kind: items, Where: map[string]any{kind: id}, Until: math.MaxInt64, Limit: 10})
	if err != nil {
		return nil, err
	}
	return tree(NewList(url, objects, more))
}

func tree(l *List) (any, error) {
	raw, err := json.Marshal(l)
	if err != nil {
		return nil, fault.From(err)
	}
	return parse(raw)
}
