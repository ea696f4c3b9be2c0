package hooks

import (
	"context"
	"encoding/json"
	"log/slog"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"crema/server/base/fault"
	"crema/server/core/acl"
	"crema/server/core/records"
	"crema/server/lambda"
)

// Hook is one function around records.
type Hook struct {
	Name string
	lambda.Hook
}

// Run runs a hook's function with a lambda.HookRequest and returns the record that it gives back.
type Run func(ctx context.Context, name string, args json.RawMessage) (json.RawMessage, error)

// Service implements records.Hooks. Until Connect it passes everything on.
type Service struct {
	log *slog.Logger
	now func() time.Time

	to    atomic.Pointer[connection]
	tasks sync.WaitGroup

	pending atomic.Int64 // hooks that nobody waits for and that have not ended
	mu      sync.Mutex
	turns   map[string]chan struct{} // by hook
}

// connection is whom the service works with.
type connection struct {
	records *records.Service
	run     Run
	hooks   func() []Hook
}

var _ records.Hooks = (*Service)(nil)

// New returns a Service without hooks. log nil is the default logger.
func New(log *slog.Logger) *Service {
	if log == nil {
		log = slog.Default()
	}
	return &Service{log: log, now: time.Now, turns: map[string]chan struct{}{}}
}

// Connect lets hooks run from now on. list gives those that are live, in the order of their registration.
func (s *Service) Connect(r *records.Service, run Run, list func() []Hook) {
	s.to.Store(&connection{r, run, list})
}

// of returns the hooks of a type.
func (s *Service) of(recordType string, triggers ...lambda.Trigger) (list []Hook) {
	to := s.to.Load()
	if to == nil {
		return nil
	}
	for _, h := range to.hooks() {
		if h.Type == recordType && slices.Contains(triggers, h.Trigger) {
			list = append(list, h)
		}
	}
	return list
}

// subject is a record on its way through hooks.
type subject struct {
	original *records.Record // as it is stored; nil for a new one
	record   *records.Record // as it will be, or is
}

// depthKey is where ctx keeps how deep hooks nest: a hook may save records that have hooks.
type depthKey struct{}

const maxDepth = 8

// deeper is ctx inside one more hook.
func deeper(ctx context.Context) (context.Context, *fault.Error) {
	n, _ := ctx.Value(depthKey{}).(int)
	if n >= maxDepth {
		return nil, fault.New(fault.Invalid, "hooks.too_deep", "hooks save records that have hooks, more than %d levels deep; is there a circle?", maxDepth)
	}
	return context.WithValue(ctx, depthKey{}, n+1), nil
}

// through runs hooks one after the other, each with what the one before gave back. Those that nobody waits
// for get the record as it is then, and go on by themselves.
func (s *Service) through(ctx context.Context, list []Hook, about subject) (*records.Record, *fault.Error) {
	record := about.record
	if len(list) == 0 {
		return record, nil
	}
	ctx, deep := deeper(ctx)
	if deep != nil {
		return nil, deep
	}
	for _, h := range list {
		args, err := request(record, about.original)
		if err != nil {
			return nil, fault.From(err)
		}
		if h.Async {
			s.later(ctx, h, args)
			continue
		}
		result, err := s.to.Load().run(ctx, h.Name, args)
		if err != nil {
			return nil, fault.From(err)
		}
		if h.Trigger != lambda.OnBeforeSave {
			continue
		}
		back, err := records.DecodeRecord(result)
		if err != nil {
			return nil, fault.Wrap(err, fault.Internal, "hooks.bad_record", "the hook %s gave back no record", h.Name)
		}
		changed := *record
		changed.Fields, changed.Access = back.Fields, back.Access
		record = &changed
	}
	return record, nil
}

func request(record, original *records.Record) (json.RawMessage, error) {
	r := lambda.HookRequest{Record: records.AppendJSON(nil, record), Original: json.RawMessage("null")}
	if original != nil {
		r.Original = records.AppendJSON(nil, original)
	}
	return json.Marshal(r)
}

// stored reads records as the server itself, by id. Those that are not there are left out.
func (s *Service) stored(ctx context.Context, database string, ids []string) (map[string]*records.Record, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	server := acl.FromContext(ctx)
	server.Key = acl.MasterKey
	results, err := s.to.Load().records.Fetch(acl.WithActor(ctx, server), records.IDsRequest{Database: database, IDs: ids})
	if err != nil {
		return nil, err
	}
	found := map[string]*records.Record{}
	for _, r := range results {
		switch {
		case r.Err == nil:
			found[r.ID] = r.Record
		case r.Err.Code != fault.NotFound:
			return nil, r.Err
		}
	}
	return found, nil
}

// mayWrite says whether the caller may write a stored record.
func mayWrite(ctx context.Context, r *records.Record) bool {
	actor := acl.FromContext(ctx)
	return r == nil || acl.Allows(actor, acl.Write, acl.Subject{Owner: r.Owner, Database: r.Database, Access: r.Access})
}

// atomically is the error of an atomic request of which some records were refused. Wire: skygear §3.8.
func atomically(failed map[string]*fault.Error) error {
	if len(failed) == 0 {
		return nil
	}
	f := fault.New(fault.AtomicFailure, "records.atomic", "%d of the records failed, so nothing was done", len(failed))
	for id, err := range failed {
		f = f.With(id, err)
	}
	return f
}

// same says whether a hook left a value as it was. A moment without its microseconds is what JavaScript makes of it: that is no
// change, or a hook that looks at something else would wear moments down. Wire: skygear T13.
func same(back, was any) bool {
	a, isTime := back.(time.Time)
	b, wasTime := was.(time.Time)
	if isTime && wasTime {
		return a.Equal(b) || a.Equal(b.Truncate(time.Millisecond))
	}
	return reflect.DeepEqual(back, was)
}
