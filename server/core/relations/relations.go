package relations

import (
	"context"
	"strings"

	"crema/server/base/fault"
	"crema/server/base/pg"
	"crema/server/core/acl"
	"crema/server/core/records"
)

// Direction says which pairs of the actor count.
type Direction string

// The directions. Mutual is both.
const (
	Outward Direction = "outward" // from the actor to the other
	Inward  Direction = "inward"  // from the other to the actor
	Mutual  Direction = "mutual"
)

// tables are the relations by the names that the wire has for them.
var tables = map[string]string{"friend": "app._friend", "_friend": "app._friend", "follow": "app._follow", "_follow": "app._follow"}

// Service keeps the relations of one app. It is safe for concurrent use.
type Service struct {
	db      *pg.DB
	records *records.Service
	byTable map[string]statements
}

// New returns a Service.
func New(db *pg.DB, r *records.Service) *Service {
	s := &Service{db: db, records: r, byTable: map[string]statements{}}
	for _, table := range tables {
		in := func(statement string) string { return strings.ReplaceAll(statement, "TABLE", table) }
		st := statements{pages: map[Direction]string{}, counts: map[Direction]string{}, add: in(insertPairs), remove: in(deletePairs)}
		for d, users := range map[Direction]string{Outward: outward, Inward: inward, Mutual: mutual} {
			st.pages[d], st.counts[d] = page(in(users)), count(in(users))
		}
		s.byTable[table] = st
	}
	return s
}

// Target is somebody whom a request is about.
type Target struct {
	ID     string
	Record *records.Record // what the actor may read of the user's record; after Remove nil
	Err    *fault.Error    // NotFound
}

// Query selects those who are related to the actor.
type Query struct {
	Name      string    // friend or follow, also with a "_" before it
	Direction Direction // "": Mutual
	Limit     *int      // nil: no limit
	Offset    int
}

// Page is what a Query found.
type Page struct {
	Targets []Target // by id
	Count   int      // of all, whatever the limit
}

// Query returns those who are related to the actor. It fails with relations.no_user (Unauthenticated),
// relations.unknown (NotSupported) and relations.bad_direction (Invalid). Wire: skygear §2.7.
func (s *Service) Query(ctx context.Context, q Query) (Page, error) {
	user, st, err := s.of(ctx, q.Name)
	if err != nil {
		return Page{}, err
	}
	if q.Direction == "" {
		q.Direction = Mutual
	}
	if st.pages[q.Direction] == "" {
		return Page{}, fault.Argument("relations.bad_direction", "direction", "direction must be outward, inward or mutual")
	}
	var limit any
	if q.Limit != nil {
		limit = *q.Limit
	}
	page := Page{Targets: []Target{}}
	err = s.db.Each(ctx, st.pages[q.Direction], []any{user, limit, q.Offset}, func(row pg.Row) error {
		var t Target
		err := row.Scan(&t.ID, &page.Count)
		page.Targets = append(page.Targets, t)
		return err
	})
	if err == nil && len(page.Targets) == 0 { // no row came that could carry the count
		err = s.db.Get(ctx, &page.Count, st.counts[q.Direction], user)
	}
	if err != nil {
		return Page{}, err
	}
	return page, s.load(ctx, page.Targets)
}

// Add makes pairs from the actor to each of ids; durable on return. Whoever does not exist gets an error
// of their own. It fails with relations.no_user and relations.unknown.
func (s *Service) Add(ctx context.Context, name string, ids []string) ([]Target, error) {
	user, st, err := s.of(ctx, name)
	if err != nil {
		return nil, err
	}
	targets, err := s.touch(ctx, st.add, user, ids, "there is no user %q")
	if err != nil {
		return nil, err
	}
	return targets, s.load(ctx, targets)
}

// Remove ends the pairs from the actor to each of ids; durable on return. A pair that is not there is
// an error of its own. It fails with relations.no_user and relations.unknown.
func (s *Service) Remove(ctx context.Context, name string, ids []string) ([]Target, error) {
	user, st, err := s.of(ctx, name)
	if err != nil {
		return nil, err
	}
	return s.touch(ctx, st.remove, user, ids, "you have no such relation to %q")
}

// of returns the actor's id and the statements for a relation. Wire: skygear T45.
func (s *Service) of(ctx context.Context, name string) (string, statements, error) {
	st, ok := s.byTable[tables[name]]
	if !ok {
		return "", st, fault.New(fault.NotSupported, "relations.unknown", "relations are friend and follow")
	}
	user := acl.FromContext(ctx).UserID
	if user == "" {
		return "", st, fault.New(fault.Unauthenticated, "relations.no_user", "log in first: relations belong to a user")
	}
	return user, st, nil
}

// touch runs a statement that returns the ids it found; the others get the message.
func (s *Service) touch(ctx context.Context, statement, user string, ids []string, message string) ([]Target, error) {
	targets := make([]Target, len(ids))
	var sane []string
	for i, id := range ids {
		targets[i].ID = id
		if strings.IndexByte(id, 0) < 0 { // which the database cannot be asked for
			sane = append(sane, id)
		}
	}
	found := map[string]bool{}
	err := s.db.Each(ctx, statement, []any{user, pg.Array(sane)}, func(row pg.Row) error {
		var id string
		err := row.Scan(&id)
		found[id] = true
		return err
	})
	for i := range targets {
		if t := &targets[i]; !found[t.ID] {
			t.Err = fault.New(fault.NotFound, "relations.not_found", message, clip(t.ID))
		}
	}
	return targets, err
}

// clip bounds what a message repeats.
func clip(s string) string { return strings.ToValidUTF8(s[:min(len(s), 80)], "") }

// load adds the records. Somebody without a record, or with one that the actor may not read, gets one
// with nothing but the id: clients make a user of it.
func (s *Service) load(ctx context.Context, targets []Target) error {
	var req records.IDsRequest
	at := map[string]*records.Record{}
	for i := range targets {
		if t := &targets[i]; t.Err == nil && at[t.ID] == nil {
			at[t.ID] = &records.Record{Type: "user", Key: t.ID, Access: acl.Access{}}
			req.IDs = append(req.IDs, at[t.ID].ID())
		}
	}
	if len(req.IDs) == 0 {
		return nil
	}
	results, err := s.records.Fetch(ctx, req)
	for _, r := range results {
		if r.Record != nil {
			at[r.Record.Key] = r.Record
		}
	}
	for i := range targets {
		targets[i].Record = at[targets[i].ID]
	}
	return err
}
