package records

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"crema/server/base/fault"
	"crema/server/base/jsonfast"
	"crema/server/core/acl"
	"crema/server/lambda"
)

// serviceUser owns what functions save while nobody is logged in.
const serviceUser = "_service"

// ForFunctions returns what a cloud function gets. It acts with the master key as the caller, or as
// "_service" when nobody is logged in; AsCaller acts as the caller.
func ForFunctions(s *Service, caller acl.Actor) lambda.Records {
	service := acl.Actor{UserID: caller.UserID, Roles: caller.Roles, Key: acl.MasterKey}
	if service.UserID == "" {
		service.UserID = serviceUser
	}
	return &forFunctions{service: s, actor: service, caller: caller}
}

type forFunctions struct {
	service *Service
	actor   acl.Actor
	caller  acl.Actor
}

// AsCaller implements lambda.Records.
func (f *forFunctions) AsCaller() lambda.Records {
	return &forFunctions{service: f.service, actor: f.caller, caller: f.caller}
}

// Save implements lambda.Records.
func (f *forFunctions) Save(ctx context.Context, list ...lambda.Record) ([]lambda.Record, error) {
	if len(list) == 0 {
		return nil, nil
	}
	req := SaveRequest{Items: make([]Item, len(list)), Atomic: true}
	for i, l := range list {
		r, err := fromFunction(l)
		if err != nil {
			return nil, err
		}
		req.Items[i] = Item{ID: l.ID, Record: r}
	}
	results, err := f.service.Save(acl.WithActor(ctx, f.actor), req)
	if err != nil {
		return nil, single(err, len(list))
	}
	return toFunctions(results)
}

// single replaces the error of a batch of one by the error of that one.
func single(err error, n int) error {
	e := fault.From(err)
	if n != 1 || e.Code != fault.AtomicFailure {
		return err
	}
	for _, inner := range e.Details {
		if cause, ok := inner.(*fault.Error); ok {
			return cause
		}
	}
	return err
}

// Fetch implements lambda.Records.
func (f *forFunctions) Fetch(ctx context.Context, ids ...string) ([]lambda.Record, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	results, err := f.service.Fetch(acl.WithActor(ctx, f.actor), IDsRequest{IDs: ids})
	if err != nil {
		return nil, err
	}
	return toFunctions(results)
}

// Query implements lambda.Records.
func (f *forFunctions) Query(ctx context.Context, q lambda.Query) ([]lambda.Record, error) {
	own := Query{Type: q.Type, Offset: q.Offset}
	if len(q.Where) > 0 {
		own.Where = plainTree(q.Where)
	}
	if q.Limit > 0 {
		own.Limit = &q.Limit
	}
	for _, s := range q.Sort {
		direction := "asc"
		if s.Descending {
			direction = "desc"
		}
		own.Sort = append(own.Sort, []any{lambda.Key(s.Field), direction})
	}
	page, err := f.service.Query(acl.WithActor(ctx, f.actor), own)
	if err != nil {
		return nil, err
	}
	list := make([]lambda.Record, len(page.Records))
	for i, r := range page.Records {
		list[i] = toFunction(r)
	}
	return list, nil
}

// plainTree replaces the types that functions use inside predicates by ours.
func plainTree(v any) any {
	switch v := v.(type) {
	case []any:
		tree := make([]any, len(v))
		for i := range v {
			tree[i] = plainTree(v[i])
		}
		return tree
	case []string:
		tree := make([]any, len(v))
		for i := range v {
			tree[i] = v[i]
		}
		return tree
	case lambda.Reference, lambda.Location:
		own, err := valueFromFunction("predicate", v)
		if err != nil {
			return v // compiling names the mistake
		}
		return own
	}
	return v
}

// Delete implements lambda.Records.
func (f *forFunctions) Delete(ctx context.Context, ids ...string) error {
	if len(ids) == 0 {
		return nil
	}
	_, err := f.service.Delete(acl.WithActor(ctx, f.actor), IDsRequest{IDs: ids, Atomic: true})
	if err != nil {
		return single(err, len(ids))
	}
	return nil
}

func fromFunction(l lambda.Record) (*Record, error) {
	r := &Record{Access: accessFromFunction(l.Access)}
	if err := r.setID(l.ID); err != nil {
		return nil, err
	}
	for name, value := range l.Fields {
		if name == "" || name[0] == '_' {
			continue
		}
		v, err := valueFromFunction(name, value)
		if err != nil {
			return nil, err
		}
		r.Fields = append(r.Fields, Field{name, v})
	}
	return r, nil
}

func accessFromFunction(entries []lambda.AccessEntry) acl.Access {
	if entries == nil {
		return nil
	}
	access := make(acl.Access, len(entries))
	for i, e := range entries {
		access[i] = acl.Entry{Level: acl.Level(e.Level), Public: e.Public, Role: e.Role, UserID: e.User}
	}
	return access
}

func valueFromFunction(field string, value any) (any, error) {
	switch v := value.(type) {
	case nil, string, float64, int64, bool, time.Time:
		return v, nil
	case int:
		return int64(v), nil
	case lambda.Location:
		return Location{Lat: v.Lat, Lng: v.Lng}, nil
	case lambda.Reference:
		typ, key, ok := SplitID(string(v))
		if !ok {
			return nil, badValue(field, "is a reference that is not of the form \"type/key\"")
		}
		return Reference{typ, key}, nil
	case json.RawMessage:
		if !jsonfast.Valid(v) {
			return nil, badValue(field, "is not valid JSON")
		}
		return JSON(v), nil
	}
	text, err := json.Marshal(value)
	if err != nil || len(text) == 0 || text[0] != '[' && text[0] != '{' {
		return nil, badValue(field, "is of a Go type that no field can hold")
	}
	return JSON(text), nil
}

func toFunctions(results []Result) ([]lambda.Record, error) {
	list := make([]lambda.Record, len(results))
	for i, r := range results {
		if r.Err != nil {
			return nil, r.Err
		}
		list[i] = toFunction(r.Record)
	}
	return list, nil
}

func toFunction(r *Record) lambda.Record {
	l := lambda.Record{ID: r.ID(), Owner: r.Owner, CreatedAt: r.CreatedAt, UpdatedAt: r.UpdatedAt, Fields: make(map[string]any, len(r.Fields))}
	if r.Access != nil {
		l.Access = make([]lambda.AccessEntry, len(r.Access))
		for i, e := range r.Access {
			l.Access[i] = lambda.AccessEntry{Level: string(e.Level), Public: e.Public, Role: e.Role, User: e.UserID}
		}
	}
	for _, f := range r.Fields {
		l.Fields[f.Name] = valueForFunction(f.Value)
	}
	return l
}

func valueForFunction(value any) any {
	switch v := value.(type) {
	case JSON:
		return json.RawMessage(v)
	case Reference:
		return lambda.Reference(v.Type + "/" + v.Key)
	case Location:
		return lambda.Location{Lat: v.Lat, Lng: v.Lng}
	case Geometry, Asset, Unknown:
		return json.RawMessage(appendValue(nil, v))
	}
	return value
}

// MayCreate says whether the caller may create records of a type.
func (s *Service) MayCreate(ctx context.Context, typ string) (bool, error) {
	snap, err := s.schema.Current(ctx)
	if err != nil {
		return false, err
	}
	t := snap.Type(typ)
	return t == nil || mayCreate(acl.FromContext(ctx), t), nil
}

// Permitted returns the record of item without the changes that rules about fields forbid the caller, as a save would take it.
// stored is the record as it is, nil for a new one. With atomic it fails with records.field_denied instead. Fields that the type
// does not have yet stay: the save judges them. It is for functions that run before the save and must see nothing else.
func (s *Service) Permitted(ctx context.Context, item Item, stored *Record, atomic bool) (*Record, error) {
	snap, err := s.schema.Current(ctx)
	if err != nil {
		return nil, err
	}
	r, actor := item.Record, acl.FromContext(ctx)
	t := snap.Type(r.Type)
	if t == nil || !t.Guarded || actor.Master() {
		return r, nil
	}
	before := stored
	if before == nil { // who creates a record owns it
		before = &Record{Owner: actor.UserID, Fields: r.Fields}
	}
	h, refused, permitted := before.holder(), []string(nil), *r
	permitted.Fields = slices.DeleteFunc(slices.Clone(r.Fields), func(f Field) bool {
		c := t.Column(f.Name)
		if c == nil || slices.Contains(item.Trusted, f.Name) || acl.AllowsField(c.Rules, actor, acl.WriteField, h) {
			return false
		}
		if stored != nil && !differ(stored.Get(f.Name), f.Value) && acl.AllowsField(c.Rules, actor, acl.ReadField, h) {
			return false
		}
		refused = append(refused, f.Name)
		return true
	})
	if atomic && refused != nil {
		return nil, fieldsDenied(refused)
	}
	return &permitted, nil
}

func fieldsDenied(names []string) *fault.Error {
	return fault.New(fault.ArgumentDenied, "records.field_denied", "you may not write the fields %q", names).With("arguments", names)
}
