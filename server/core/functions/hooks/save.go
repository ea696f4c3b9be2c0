package hooks

import (
	"context"
	"slices"

	"crema/server/base/fault"
	"crema/server/core/acl"
	"crema/server/core/records"
	"crema/server/lambda"
)

// Save implements records.Hooks.
func (s *Service) Save(ctx context.Context, req records.SaveRequest, save func(context.Context, records.SaveRequest) ([]records.Result, error)) ([]records.Result, error) {
	var ids []string
	for _, item := range req.Items {
		if item.Err == nil && item.Record != nil && len(s.of(item.Record.Type, lambda.OnBeforeSave, lambda.OnAfterSave)) > 0 {
			ids = append(ids, item.Record.ID())
		}
	}
	if len(ids) == 0 {
		return save(ctx, req)
	}
	originals, err := s.stored(ctx, req.Database, slices.Compact(slices.Sorted(slices.Values(ids))))
	if err != nil {
		return nil, err
	}
	refused := map[string]*fault.Error{}
	req.Items = slices.Clone(req.Items)
	for i := range req.Items {
		if item := &req.Items[i]; item.Err == nil && item.Record != nil && s.maySave(ctx, item.Record.Type, originals[item.Record.ID()]) {
			if err := s.before(ctx, item, originals[item.Record.ID()], req.Atomic); err != nil {
				refused[item.Record.ID()] = err
				*item = records.Item{ID: item.Record.ID(), Err: err}
			}
		}
	}
	if err := atomically(refused); req.Atomic && err != nil {
		return nil, err
	}
	results, err := save(ctx, req)
	if err != nil {
		return nil, err
	}
	s.after(ctx, req, results, originals)
	return results, nil
}

// SaveTogether implements records.Hooks.
func (s *Service) SaveTogether(ctx context.Context, t records.Together, save func(context.Context, records.Together) (*records.Record, error)) (*records.Record, error) {
	if len(s.of(t.Record.Type, lambda.OnBeforeSave, lambda.OnAfterSave)) == 0 {
		return save(ctx, t)
	}
	item := records.Item{ID: t.Record.ID(), Record: t.Record, Trusted: slices.Clone(t.Trusted)}
	originals, err := s.stored(ctx, "", []string{item.ID})
	if err != nil {
		return nil, err
	}
	if refused := s.before(ctx, &item, originals[item.ID], false); refused != nil {
		return nil, refused
	}
	t.Record, t.Trusted = item.Record, item.Trusted
	saved, err := save(ctx, t)
	if err != nil {
		return nil, err
	}
	s.after(ctx, records.SaveRequest{Atomic: true}, []records.Result{{ID: item.ID, Record: saved}}, originals)
	return saved, nil
}

// maySave says whether the caller may write a record, or create one of its type. The save itself decides for good.
func (s *Service) maySave(ctx context.Context, typ string, original *records.Record) bool {
	if original != nil {
		return mayWrite(ctx, original)
	}
	may, err := s.to.Load().records.MayCreate(ctx, typ)
	return err == nil && may
}

// before runs the hooks before the save of one record and puts what they changed into it. They see nothing that the caller may not
// change, so rules about fields do not bind what they change.
func (s *Service) before(ctx context.Context, item *records.Item, original *records.Record, atomic bool) *fault.Error {
	list := s.of(item.Record.Type, lambda.OnBeforeSave)
	if len(list) == 0 {
		return nil
	}
	sent, err := s.to.Load().records.Permitted(ctx, *item, original, atomic)
	if err != nil {
		return fault.From(err)
	}
	will := s.merged(ctx, sent, original)
	// What hooks have not touched is found by comparing with what they would give back untouched.
	untouched, err := records.DecodeRecord(records.AppendJSON(nil, will))
	if err != nil {
		return fault.From(err)
	}
	back, failed := s.through(ctx, list, subject{original: original, record: will})
	if failed != nil || back == will {
		return failed
	}
	changed := *sent
	changed.Fields = slices.Clone(changed.Fields)
	set := func(name string, value any) {
		changed.Set(name, value)
		item.Trusted = append(item.Trusted, name)
	}
	for _, f := range back.Fields {
		if !same(f.Value, untouched.Get(f.Name)) {
			set(f.Name, f.Value)
		}
	}
	for _, f := range untouched.Fields {
		if !slices.ContainsFunc(back.Fields, func(b records.Field) bool { return b.Name == f.Name }) {
			set(f.Name, nil) // a hook took it out
		}
	}
	if back.Access != nil && !same(back.Access, untouched.Access) {
		changed.Access = back.Access
	}
	item.Record = &changed
	return nil
}

// merged is the record as it will be written.
func (s *Service) merged(ctx context.Context, sent, original *records.Record) *records.Record {
	user := acl.FromContext(ctx).UserID
	if user == "" {
		user = acl.God
	}
	now := s.now().UTC()
	will := &records.Record{Type: sent.Type, Key: sent.Key, Owner: user, Access: sent.Access, CreatedAt: now, CreatedBy: user, UpdatedAt: now, UpdatedBy: user}
	if original != nil {
		will.Owner, will.CreatedAt, will.CreatedBy = original.Owner, original.CreatedAt, original.CreatedBy
		will.Fields = slices.Clone(original.Fields)
		if sent.Access == nil {
			will.Access = original.Access
		}
	}
	for _, f := range sent.Fields {
		will.Set(f.Name, f.Value)
	}
	will.Fields = slices.DeleteFunc(will.Fields, func(f records.Field) bool { return f.Value == nil })
	return will
}

// after runs the hooks after the save; they see all of the records. Wire: an error shows on the record, which is stored all the same.
// An atomic request has been done as a whole, so that its errors are only logged: skygear §3.8.
func (s *Service) after(ctx context.Context, req records.SaveRequest, results []records.Result, originals map[string]*records.Record) {
	var ids []string
	for _, r := range results {
		if r.Err == nil && r.Record != nil && len(s.of(r.Record.Type, lambda.OnAfterSave)) > 0 {
			ids = append(ids, r.ID)
		}
	}
	stored, err := s.stored(ctx, req.Database, slices.Compact(slices.Sorted(slices.Values(ids))))
	if err != nil {
		s.log.ErrorContext(ctx, "hooks after a save could not run", "error", err.Error())
		return
	}
	for i, r := range results {
		if record := stored[r.ID]; r.Err == nil && record != nil {
			_, err := s.through(ctx, s.of(record.Type, lambda.OnAfterSave), subject{original: originals[r.ID], record: record})
			s.show(ctx, &results[i], err, req.Atomic)
		}
	}
}

// show puts the error of a hook after the fact where it is seen.
func (s *Service) show(ctx context.Context, r *records.Result, err *fault.Error, atomic bool) {
	switch {
	case err == nil:
	case atomic:
		s.log.ErrorContext(ctx, "a hook failed after the request was done", "record", r.ID, "error", err.Error())
	default:
		*r = records.Result{ID: r.ID, Err: err}
	}
}
