package records

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"crema/server/base/fault"
	"crema/server/base/pg"
	"crema/server/core/acl"
	"crema/server/core/schema"
)

// Config is what a Service needs.
type Config struct {
	DB      *pg.DB
	Schema  *schema.Service
	Assets  Assets           // nil: assets come back with their names only
	Hooks   Hooks            // nil: nothing runs around saves and deletes
	DevMode bool             // every caller may add types and fields, not only the master key
	Now     func() time.Time // nil: time.Now
}

// Assets is what the room asks of whoever keeps files.
type Assets interface {
	// Describe returns each named asset with its content type and a URL for reading it, by name. Names
	// that are unknown are left out.
	Describe(ctx context.Context, names []string) (map[string]Asset, error)
}

// Hooks is what the room asks of whoever runs functions around saves and deletes: it sees a request before
// the room does, passes it on, and sees what came of it.
type Hooks interface {
	SaveTogether(ctx context.Context, t Together, save func(context.Context, Together) (*Record, error)) (*Record, error)
	Save(ctx context.Context, req SaveRequest, save func(context.Context, SaveRequest) ([]Result, error)) ([]Result, error)
	Delete(ctx context.Context, req IDsRequest, remove func(context.Context, IDsRequest) ([]Result, error)) ([]Result, error)
}

// Service works on the records of one app. It is safe for concurrent use. The actor of each call is
// acl.FromContext(ctx).
type Service struct {
	db      *pg.DB
	schema  *schema.Service
	assets  Assets
	hooks   Hooks
	devMode bool
	now     func() time.Time
	met     *met
}

// New returns a Service.
func New(c Config) *Service {
	if c.Now == nil {
		c.Now = time.Now
	}
	return &Service{db: c.DB, schema: c.Schema, assets: c.Assets, hooks: c.Hooks, devMode: c.DevMode, now: c.Now, met: newMet()}
}

// Record is one record. Fields holds its data in any order; a NULL column is absent from what is read,
// and a nil value clears the field in what is saved.
type Record struct {
	Type      string
	Key       string
	Database  string     // "" public, else the user id; set by the service
	Owner     string     // set by the service
	Access    acl.Access // nil in a save: keep, or the type's default
	CreatedAt time.Time  // set by the service, UTC
	CreatedBy string
	UpdatedAt time.Time
	UpdatedBy string
	Fields    []Field
	Transient []Field // what Query.Include asked for: *Record, float64 or nil
}

// Field is a named value: nil, string, float64, int64, bool, time.Time, JSON, Location, Geometry,
// Reference, Asset, Sequence or Unknown.
type Field struct {
	Name  string
	Value any
}

// ID returns "type/key".
func (r *Record) ID() string { return r.Type + "/" + r.Key }

// Get returns the value of a field, nil when it is absent.
func (r *Record) Get(name string) any {
	for i := range r.Fields {
		if r.Fields[i].Name == name {
			return r.Fields[i].Value
		}
	}
	return nil
}

// Set sets a field.
func (r *Record) Set(name string, value any) {
	for i := range r.Fields {
		if r.Fields[i].Name == name {
			r.Fields[i].Value = value
			return
		}
	}
	r.Fields = append(r.Fields, Field{name, value})
}

// JSON is an array or a plain object, as text.
type JSON json.RawMessage

// Location is a point in degrees.
type Location struct{ Lat, Lng float64 }

// Geometry is GeoJSON text.
type Geometry json.RawMessage

// Reference points to another record.
type Reference struct{ Type, Key string }

// Asset names a stored file.
type Asset struct {
	Name        string
	ContentType string // output only
	URL         string // output only
}

// Sequence asks that the database numbers this field.
type Sequence struct{}

// Unknown stands for a column whose type is not modelled.
type Unknown struct{ Underlying string }

// SplitID splits "type/key" at its first slash. Both parts are non-empty when ok.
func SplitID(id string) (typ, key string, ok bool) {
	typ, key, ok = strings.Cut(id, "/")
	return typ, key, ok && typ != "" && key != ""
}

// Item is one entry of a save: a record, or why it could not be read.
type Item struct {
	ID      string // "type/key"; "" when it was missing or malformed
	Record  *Record
	Err     *fault.Error
	Trusted []string // fields that are written whatever their rules say: functions set them, not the caller
}

// SaveRequest asks to create or update records.
type SaveRequest struct {
	Database string // wire's database_id: "" or "_public", "_private", "_union", a user id
	Items    []Item
	Atomic   bool
}

// Result is the outcome for one entry of a request, in the order of the request. Err nil means done;
// Record is then set, except after a delete.
type Result struct {
	ID     string
	Record *Record
	Err    *fault.Error
}

// IDsRequest names records to fetch or delete by "type/key".
type IDsRequest struct {
	Database string
	IDs      []string
	Atomic   bool // delete only
}

// Query selects records of one type. Wire: skygear §3.7.
type Query struct {
	Database string
	Type     string
	Where    any            // predicate as decoded JSON (arrays, maps, scalars); nil or empty: all
	Sort     []any          // of [expression, "asc"|"desc"]
	Include  map[string]any // name -> expression, into Record.Transient
	Desired  []string       // nil: all fields; empty: reserved ones only
	Limit    *int           // nil: no limit
	Offset   int
	Count    bool
}

// Page is what a Query found.
type Page struct {
	Records []*Record
	Count   *int // of all that match, when the query asked
}

// scope is who acts in which database.
type scope struct {
	actor    acl.Actor
	database string // "" public
	union    bool   // all databases, read only
}

// CheckDatabase says whether actor may use a database by its name on the wire. It fails with
// records.bad_database, records.no_user, records.no_master or records.not_your_database.
func CheckDatabase(actor acl.Actor, database string) error {
	_, err := scopeOf(actor, database)
	return err
}

func (s *Service) scope(ctx context.Context, database string) (scope, error) {
	return scopeOf(acl.FromContext(ctx), database)
}

// scopeOf reads the wire's database_id. Wire: skygear §1.4.
func scopeOf(actor acl.Actor, database string) (scope, error) {
	sc := scope{actor: actor}
	if sc.actor.UserID == "" && sc.actor.Master() {
		sc.actor.UserID = acl.God
	}
	switch {
	case database == "" || database == "_public":
		return sc, nil
	case database == "_private":
		if sc.actor.UserID == "" {
			return sc, fault.New(fault.Unauthenticated, "records.no_user", "log in first: the database _private belongs to a user")
		}
		sc.database = sc.actor.UserID
	case database == "_union":
		if !sc.actor.Master() {
			return sc, fault.New(fault.Unauthenticated, "records.no_master", "the database _union needs the master key")
		}
		sc.union = true
	case database[0] == '_':
		return sc, fault.Argument("records.bad_database", "database_id", "database_id must be _public, _private, _union or the id of a user")
	case !sc.actor.Master() && database != sc.actor.UserID:
		return sc, fault.New(fault.Denied, "records.not_your_database", "the private database of another user needs the master key")
	default:
		sc.database = database
	}
	return sc, nil
}

// writable is scope for saves and deletes, which need a user and one database.
func (s *Service) writable(ctx context.Context, database string) (scope, error) {
	sc, err := s.scope(ctx, database)
	switch {
	case err != nil:
		return sc, err
	case sc.actor.UserID == "":
		return sc, fault.New(fault.Unauthenticated, "records.no_user", "log in first, or use the master key")
	case sc.union:
		return sc, fault.New(fault.NotSupported, "records.union_read_only", "the database _union can only be read")
	}
	return sc, nil
}

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
	b.meet(s.met)
	return b.results(), s.Describe(ctx, b.stored()...)
}

func batchOfIDs(sc scope, req IDsRequest) (*batch, error) {
	b := newBatch(sc, len(req.IDs), req.Atomic)
	for i, id := range req.IDs {
		r := &Record{}
		if r.setID(id) != nil {
			return nil, fault.Argument("records.bad_id", "ids", "%q is not of the form \"type/key\"", clip(id))
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

// Read returns a record of the public database as viewer sees its fields. The record's own list is not
// asked, so it is for rooms that know who may see it. It fails with records.not_found.
func (s *Service) Read(ctx context.Context, viewer acl.Actor, kind, key string) (*Record, error) {
	var found *Record
	err := s.fresh(ctx, func(snap *schema.Snapshot) error {
		t := snap.Type(kind)
		if t == nil {
			return nil
		}
		table := newTable(snap, t, viewer)
		reader := newReaderWith(table, 1)
		text, args := selectByKeys(table, scope{actor: acl.Actor{Key: acl.MasterKey}}, []string{key})
		return each(ctx, s.db, snap, text, args, func(row pg.Row) (err error) {
			found, err = reader.read(row)
			return err
		})
	})
	if err == nil && found == nil {
		return nil, notFound(kind + "/" + key)
	}
	return found, err
}

// fetch reads the rows of g in one statement.
func (g *group) fetch(ctx context.Context, q pg.Querier) error {
	text, args := selectByKeys(g.table, g.scope, keysOf(g.rows))
	byKey := keyed(g.rows)
	reader := newReaderWith(g.table, 1)
	return each(ctx, q, g.table.snap, text, args, func(row pg.Row) error {
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
	if s.hooks == nil {
		return s.remove(ctx, req)
	}
	return s.hooks.Delete(ctx, req, s.remove)
}

func (s *Service) remove(ctx context.Context, req IDsRequest) ([]Result, error) {
	sc, err := s.writable(ctx, req.Database)
	if err != nil {
		return nil, err
	}
	ids := req.IDs
	req.IDs = slices.Compact(slices.Sorted(slices.Values(ids))) // one that is named twice goes once
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
	byID := make(map[string]Result, len(req.IDs))
	for _, r := range b.results() {
		byID[r.ID] = Result{ID: r.ID, Err: r.Err}
	}
	results := make([]Result, len(ids))
	for i, id := range ids {
		results[i] = byID[id]
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
