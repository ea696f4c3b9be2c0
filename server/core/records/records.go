package records

import (
	"context"
	"time"

	"crema/server/base/fault"
	"crema/server/base/pg"
	"crema/server/core/schema"
)

// Config is what a Service needs.
type Config struct {
	DB      *pg.DB
	Schema  *schema.Service
	DevMode bool             // every caller may add types and fields, not only the master key
	Now     func() time.Time // nil: time.Now
}

// Service works on the records of one app. It is safe for concurrent use. The actor of each call is
// acl.FromContext(ctx).
type Service struct {
	db      *pg.DB
	schema  *schema.Service
	devMode bool
	now     func() time.Time
}

// New returns a Service.
func New(c Config) *Service {
	if c.Now == nil {
		c.Now = time.Now
	}
	return &Service{db: c.DB, schema: c.Schema, devMode: c.DevMode, now: c.Now}
}

// Item is one entry of a save: a record, or why it could not be read.
type Item struct {
	ID     string // "type/key"; "" when it was missing or malformed
	Record *Record
	Err    *fault.Error
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

// Save creates or updates records. Without Atomic every entry has its own outcome and the rest is
// durable on return. The error concerns the request as a whole: Incompatible when the schema
// contradicts, AtomicFailure (Details: "type/key" -> *fault.Error) when Atomic and an entry failed,
// Invalid, Unauthenticated, Denied, NotSupported for the request itself.
func (s *Service) Save(ctx context.Context, req SaveRequest) ([]Result, error) {
	return nil, fault.New(fault.NotImplemented, "records.skeleton", "not yet")
}

// Fetch returns the records with these ids in their order, or why not.
func (s *Service) Fetch(ctx context.Context, req IDsRequest) ([]Result, error) {
	return nil, fault.New(fault.NotImplemented, "records.skeleton", "not yet")
}

// Query returns the records that match and that the actor may read.
func (s *Service) Query(ctx context.Context, q Query) (Page, error) {
	return Page{}, fault.New(fault.NotImplemented, "records.skeleton", "not yet")
}

// Delete removes records. Durable on return.
func (s *Service) Delete(ctx context.Context, req IDsRequest) ([]Result, error) {
	return nil, fault.New(fault.NotImplemented, "records.skeleton", "not yet")
}
