package push

import (
	"bytes"
	"context"
	"encoding/json"

	"crema/server/base/fault"
	"crema/server/base/pg"
	"crema/server/core/acl"
	"crema/server/core/records"
	"crema/server/core/schema"
)

// Each subscription costs a look at every change of its type, so they are bounded: for one owner of
// devices, and each in bytes.
const (
	maxSubscriptions = 1000
	maxQuery         = 8 << 10
	maxInfo          = 8 << 10
)

// Target says which subscriptions of which device.
type Target struct {
	Database string // wire's database_id
	DeviceID string
	IDs      []string
}

// Item is the outcome for one subscription of a request. Err nil means done; Subscription is nil after an
// Unsubscribe.
type Item struct {
	ID           string
	Subscription *Subscription
	Err          *fault.Error
}

// Subscribe saves subscriptions of a device, new ones or in the place of those with their ids. What
// succeeded is durable on return, and every change from then on is noted. Entries fail with
// push.no_device, push.bad_subscription, push.too_many, or with what records.Query says of their query.
// Wire: skygear B12, B13.
func (s *Service) Subscribe(ctx context.Context, t Target, wanted []Subscription) ([]Item, error) {
	if len(wanted) == 0 {
		return nil, fault.Argument("push.none", "subscriptions", "subscriptions must be an array with at least one subscription")
	}
	r, err := s.request(ctx, t)
	if err != nil {
		return nil, err
	}
	items := make([]Item, len(wanted))
	for i, w := range wanted {
		w.DeviceID = r.device
		items[i] = Item{ID: w.ID, Err: fault.From(w.check())}
		if items[i].Err == nil {
			if items[i], err = s.subscribe(ctx, r, w); err != nil {
				return nil, err
			}
		}
	}
	return items, nil
}

// request is a Target that has been looked at.
type request struct {
	actor    acl.Actor
	database string // "" public, else a user's
	device   string
}

// request checks what all actions on subscriptions share.
func (s *Service) request(ctx context.Context, t Target) (request, error) {
	actor, err := user(ctx)
	if err != nil {
		return request{}, err
	}
	if t.DeviceID == "" {
		return request{}, fault.Argument("push.no_device_id", "device_id", "device_id must be the id of a device")
	}
	for _, id := range append([]string{t.DeviceID}, t.IDs...) {
		if err := checkText("id", id, maxID); err != nil {
			return request{}, err
		}
	}
	if err := records.CheckDatabase(actor, t.Database); err != nil {
		return request{}, err
	}
	r := request{actor: actor, database: t.Database, device: t.DeviceID}
	switch t.Database {
	case "_public":
		r.database = ""
	case "_private":
		r.database = actor.UserID
	case "_union":
		return r, fault.New(fault.NotImplemented, "push.no_union", "there are no subscriptions on the database _union")
	}
	return r, nil
}

func badSubscription(argument, format string, args ...any) *fault.Error {
	return fault.Argument("push.bad_subscription", argument, format, args...)
}

func (w *Subscription) check() error {
	switch {
	case w.ID == "":
		return badSubscription("id", "a subscription needs an id")
	case w.Type != "query":
		return badSubscription("type", `the type of a subscription must be "query"`)
	}
	switch {
	case w.Info != nil && !bytes.HasPrefix(*w.Info, []byte("{")):
		return badSubscription("notification_info", "notification_info must be an object")
	case w.Info != nil && len(*w.Info) > maxInfo:
		return badSubscription("notification_info", "notification_info is longer than %d bytes", maxInfo)
	case len(w.Query) > maxQuery:
		return badSubscription("query", "the query is longer than %d bytes", maxQuery)
	}
	for argument, text := range map[string]*json.RawMessage{"notification_info": w.Info, "query": &w.Query} {
		if text != nil && bytes.Contains(*text, []byte(`\u0000`)) {
			return badSubscription(argument, "%s must not contain NUL characters", argument)
		}
	}
	return checkText("id", w.ID, maxID)
}

// subscribe saves one subscription. Its trigger and its row become visible together, and no type is made
// meanwhile: so a change is noted whenever its writer could see the subscription.
func (s *Service) subscribe(ctx context.Context, r request, w Subscription) (Item, error) {
	var saved Subscription
	err := s.judge(ctx, r, w)
	if err == nil {
		saved, err = s.save(ctx, r, w)
	}
	switch f := fault.From(err); {
	case err == nil:
		return Item{ID: w.ID, Subscription: &saved}, nil
	case isOurs(f):
		return Item{}, err
	default:
		return Item{ID: w.ID, Err: f}, nil
	}
}

// judge refuses a query that the owner of the device could not ask.
func (s *Service) judge(ctx context.Context, r request, w Subscription) error {
	v := viewer{database: r.database}
	if err := v.read(ctx, s.db, r); err != nil {
		return err
	}
	q, err := decodeQuery(r.database, w.Query)
	if err != nil {
		return err
	}
	if err := schema.CheckName("record type", q.Type); err != nil {
		return err
	}
	_, err = s.c.Records.Match(v.context(ctx), q, nil)
	return err
}

func (s *Service) save(ctx context.Context, r request, w Subscription) (saved Subscription, err error) {
	q, err := decodeQuery(r.database, w.Query)
	if err != nil {
		return saved, err
	}
	err = s.db.Tx(ctx, func(ctx context.Context, tx *pg.Tx) error {
		if n, err := tx.Exec(ctx, lockDevice, r.device, r.actor.UserID, r.actor.Master()); err != nil {
			return err
		} else if n == 0 {
			return noDevice(r.device)
		}
		if err := s.watch(ctx, tx, q.Type); err != nil {
			return err
		}
		if err := tx.Get(ctx, &saved, upsertSubscription, w.ID, r.database, r.device, w.Type, textOrNil(w.Info), string(w.Query)); err != nil {
			return err
		}
		return belowLimit(ctx, tx, r.device)
	})
	if pg.State(err).SQLState == "55P03" { // lock_not_available
		err = fault.Wrap(err, fault.Unavailable, "push.busy", "record type %s is being worked on; try again", q.Type)
	}
	return saved, err
}

// isOurs tells failures of the server from what a caller can mend.
func isOurs(f *fault.Error) bool {
	switch f.Code {
	case fault.Internal, fault.DatabaseUnavailable, fault.Timeout, fault.Unavailable, fault.NotConfigured:
		return true
	}
	return false
}

func textOrNil(raw *json.RawMessage) any {
	if raw == nil {
		return nil
	}
	return string(*raw)
}

func belowLimit(ctx context.Context, tx *pg.Tx, device string) error {
	var n int
	if err := tx.Get(ctx, &n, countSubscriptions, device); err != nil {
		return err
	}
	if n > maxSubscriptions {
		return fault.New(fault.Constraint, "push.too_many", "the devices of one user have at most %d subscriptions; delete some", maxSubscriptions)
	}
	return nil
}

// viewer is who a subscription is judged for: the owner of its device, without the rights of any key.
type viewer struct {
	owner    string
	roles    []string
	database string // "" public
}

func (v viewer) context(ctx context.Context) context.Context {
	return acl.WithActor(ctx, acl.Actor{UserID: v.owner, Roles: v.roles, Key: acl.ClientKey})
}

// read finds the owner of the device of r.
func (v *viewer) read(ctx context.Context, db *pg.DB, r request) error {
	var row struct {
		Owner string
		Roles []byte
	}
	err := db.Get(ctx, &row, selectOwner, r.device, r.actor.UserID, r.actor.Master())
	if fault.Is(err, "pg.no_rows") {
		return noDevice(r.device)
	}
	if err == nil {
		v.owner, err = row.Owner, json.Unmarshal(row.Roles, &v.roles)
	}
	return err
}

func decodeQuery(database string, raw json.RawMessage) (records.Query, error) {
	params, ok := records.DecodeParams(raw)
	if !ok || len(bytes.TrimSpace(raw)) == 0 {
		return records.Query{}, badSubscription("query", "query must be an object with a record_type")
	}
	predicate := params["predicate"]
	if string(bytes.TrimSpace(predicate)) == "{}" { // how some old clients say "all"
		predicate = nil
	}
	q, err := records.DecodeQuery(records.Params{"record_type": params["record_type"], "predicate": predicate})
	q.Database = database
	return q, err
}

// watch makes sure that changes of a type are noted, if it has a table. One that is made later is seen to
// by Created. Triggers stay, so one that is there needs no lock.
func (s *Service) watch(ctx context.Context, tx *pg.Tx, name string) error {
	var is struct{ Made, Watched bool }
	look := func() error { return tx.Get(ctx, &is, selectWatch, string(s.db.Schema()), name) }
	if err := look(); err != nil || is.Watched {
		return err
	}
	for _, q := range []string{bePatient, lockSchema} {
		if _, err := tx.Exec(ctx, q); err != nil {
			return err
		}
	}
	if err := look(); err != nil || is.Watched || !is.Made {
		return err
	}
	return s.attach(ctx, tx, name)
}

// watchAll watches all types that somebody has subscribed to. One that cannot be watched now will be, when
// somebody subscribes to it again.
func (s *Service) watchAll(ctx context.Context) error {
	var types []string
	if err := s.db.Select(ctx, &types, selectSubscribedTypes); err != nil {
		return err
	}
	for _, name := range types {
		err := s.db.Tx(ctx, func(ctx context.Context, tx *pg.Tx) error { return s.watch(ctx, tx, name) })
		if err != nil && ctx.Err() == nil {
			s.log.WarnContext(ctx, "changes of a record type are not noted", "type", name, "error", err)
		}
	}
	return ctx.Err()
}

func (s *Service) attach(ctx context.Context, tx *pg.Tx, name string) error {
	own := s.db.Schema().SQL()
	_, err := tx.Exec(ctx, attachTrigger(own, own+"."+pg.Ident(name).SQL()))
	return err
}

// Created is for schema.OnCreate: a type that somebody subscribed to before it existed is watched from
// its first record on.
func (s *Service) Created(ctx context.Context, tx *pg.Tx, name string) error {
	var subscribed bool
	if err := tx.Get(ctx, &subscribed, isSubscribed, name); err != nil || !subscribed {
		return err
	}
	return s.attach(ctx, tx, name)
}

// Subscriptions returns those that t names, in its order; entries fail with push.no_subscription.
func (s *Service) Subscriptions(ctx context.Context, t Target) ([]Item, error) {
	found, err := s.find(ctx, t, append([]string{}, t.IDs...))
	if err != nil {
		return nil, err
	}
	byID := map[string]*Subscription{}
	for i := range found {
		byID[found[i].ID] = &found[i]
	}
	items := make([]Item, len(t.IDs))
	for i, id := range t.IDs {
		items[i] = Item{ID: id, Subscription: byID[id]}
		if items[i].Subscription == nil {
			items[i].Err = noSubscription(id)
		}
	}
	return items, nil
}

// AllSubscriptions returns those of a device in one database, by id.
func (s *Service) AllSubscriptions(ctx context.Context, t Target) ([]Subscription, error) {
	return s.find(ctx, t, nil)
}

func (s *Service) find(ctx context.Context, t Target, ids []string) ([]Subscription, error) {
	r, err := s.request(ctx, t)
	if err != nil {
		return nil, err
	}
	var found []Subscription
	err = s.db.Select(ctx, &found, selectSubscriptions, r.database, r.device, r.actor.UserID, r.actor.Master(), pg.Array(ids))
	return found, err
}

// Unsubscribe removes those that t names; entries fail with push.no_subscription.
func (s *Service) Unsubscribe(ctx context.Context, t Target) ([]Item, error) {
	r, err := s.request(ctx, t)
	if err != nil {
		return nil, err
	}
	var gone []string
	err = s.db.Select(ctx, &gone, deleteSubscriptions, r.database, r.device, r.actor.UserID, r.actor.Master(), pg.Array(t.IDs))
	if err != nil {
		return nil, err
	}
	removed := map[string]bool{}
	for _, id := range gone {
		removed[id] = true
	}
	items := make([]Item, len(t.IDs))
	for i, id := range t.IDs {
		if items[i].ID = id; !removed[id] {
			items[i].Err = noSubscription(id)
		}
	}
	return items, nil
}

func noSubscription(id string) *fault.Error {
	return fault.New(fault.NotFound, "push.no_subscription", "there is no subscription %.100q", id).With("id", id)
}
