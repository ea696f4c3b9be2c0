package records

import (
	"context"
	"slices"

	"crema/server/base/fault"
	"crema/server/base/pg"
	"crema/server/core/schema"
)

// Fetch returns the records with these ids in their order, or why not: NotFound, Denied. A malformed id
// is an error of the whole request.
func (s *Service) Fetch(ctx context.Context, req IDsRequest) ([]Result, error) {
	sc, err := s.scope(ctx, req.Database)
	if err != nil {
		return nil, err
	}
	b, err := batchOfIDs(sc, req)
	if err != nil {
		return nil, err
	}
	err = s.fresh(ctx, func(snap *schema.Snapshot) error {
		snap, err := s.knowing(ctx, b, snap)
		if err != nil {
			return err
		}
		for _, g := range b.groups(snap, func(*row, *schema.Type) bool { return true }) {
			if err := g.fetch(ctx, s.db); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	b.failOpen()
	return b.results(), nil
}

func batchOfIDs(sc scope, req IDsRequest) (*batch, error) {
	b := newBatch(sc, len(req.IDs), req.Atomic)
	for i, id := range req.IDs {
		r := &Record{}
		if r.setID(id) != nil {
			return nil, badIDs(i)
		}
		b.rows[i] = row{id: id, rec: r}
	}
	return b, nil
}

// knowing returns a picture of the schema that is not older than the request when snap lacks a type of
// the batch: another server may have made it just now.
func (s *Service) knowing(ctx context.Context, b *batch, snap *schema.Snapshot) (*schema.Snapshot, error) {
	for i := range b.rows {
		if snap.Type(b.rows[i].rec.Type) == nil {
			return s.schema.Newer(ctx, snap)
		}
	}
	return snap, nil
}

// failOpen gives the rows that nothing was found for their error.
func (b *batch) failOpen() {
	for i := range b.rows {
		if r := &b.rows[i]; !r.settled() {
			r.err = notFound(r.id)
		}
	}
}

// fetch reads the rows of g in one statement.
func (g *group) fetch(ctx context.Context, q pg.Querier) error {
	text, args := selectByKeys(g.table, g.scope, keysOf(g.rows))
	byKey := keyed(g.rows)
	reader := newReaderWith(g.table, 1)
	return q.Each(ctx, text, args, func(row pg.Row) error {
		rec, err := reader.read(row)
		if err != nil {
			return err
		}
		r := byKey(rec.Key)
		if allowed, _ := reader.extra()[0].(bool); !allowed {
			r.err = denied(r.id)
			return nil
		}
		r.out = rec
		return nil
	})
}

// Delete removes records; what succeeded is durable on return. Errors of entries: NotFound, Denied, and
// Constraint while another record refers to it. Atomic and malformed ids behave as in Save and Fetch.
// Records of type user are never deleted.
func (s *Service) Delete(ctx context.Context, req IDsRequest) ([]Result, error) {
	sc, err := s.writable(ctx, req.Database)
	if err != nil {
		return nil, err
	}
	b, err := batchOfIDs(sc, req)
	if err != nil {
		return nil, err
	}
	err = s.fresh(ctx, func(snap *schema.Snapshot) error {
		snap, err := s.knowing(ctx, b, snap)
		if err != nil {
			return err
		}
		return b.run(ctx, s.db, func() []*group { return b.deleteGroups(snap) })
	})
	if err != nil {
		return nil, err
	}
	results := b.results()
	for i := range results {
		results[i].Record = nil
	}
	return results, nil
}

// deleteGroups groups the rows; types that refer to others come first, so that both can go at once.
func (b *batch) deleteGroups(snap *schema.Snapshot) []*group {
	groups := b.groups(snap, func(r *row, t *schema.Type) bool {
		if t.Name == "user" {
			r.err = fault.New(fault.Denied, "records.user_stays", "records of type user cannot be deleted")
		}
		return r.err == nil
	})
	b.failUnknown(snap)
	groups = inOrder(groups)
	slices.Reverse(groups)
	for _, g := range groups {
		g.statement = removeRows
	}
	return groups
}

func (b *batch) failUnknown(snap *schema.Snapshot) {
	for i := range b.rows {
		if r := &b.rows[i]; !r.settled() && snap.Type(r.rec.Type) == nil {
			r.err = notFound(r.id)
		}
	}
}

func notFound(id string) *fault.Error {
	return fault.New(fault.NotFound, "records.not_found", "there is no record %s", id)
}

// removeRows is the statement of a delete.
func removeRows(ctx context.Context, q pg.Querier, g *group, rows []*row) error {
	text, args := deleteRows(g, keysOf(rows))
	byKey := keyed(rows)
	err := q.Each(ctx, text, args, func(row pg.Row) error {
		var key string
		err := row.Scan(&key)
		if r := byKey(key); err == nil {
			r.out = r.rec
		}
		return err
	})
	if err != nil {
		return err
	}
	return g.explain(ctx, q, rows, func(r *row, found, here, allowed bool) *fault.Error {
		switch {
		case !found || !here:
			return notFound(r.id)
		case !allowed:
			return denied(r.id)
		}
		return nil
	})
}
