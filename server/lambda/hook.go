package lambda

import (
	"context"
	"encoding/json"
)

// Trigger says when a hook runs. Its values are the wire's.
type Trigger string

// The triggers.
const (
	OnBeforeSave   Trigger = "beforeSave"   // may change the record, or refuse it with an error
	OnAfterSave    Trigger = "afterSave"    // the record is stored, whatever the hook says
	OnBeforeDelete Trigger = "beforeDelete" // may refuse
	OnAfterDelete  Trigger = "afterDelete"
)

// Hook says what a function runs around. Made by BeforeSave and the like.
type Hook struct {
	Type    string // of the records
	Trigger Trigger
	Async   bool // nobody waits for it, and its error stays in the log
}

// HookRequest is what a hook gets, in the wire's form of records. Original is the record as it was stored, null
// for a new one and for deletes.
type HookRequest struct {
	Record   json.RawMessage `json:"record"`
	Original json.RawMessage `json:"original"`
}

// Async lets a hook run beside the request that it belongs to.
func Async() Option {
	return func(f *Function) {
		if f.Hook != nil {
			f.Hook.Async = true
		}
	}
}

// BeforeSave declares a hook that sees records of a type before they are stored, complete as they will be. What
// it changes in Fields and Access is stored. original is nil for a new record.
func BeforeSave(recordType, name string, fn func(ctx context.Context, c *Call, record, original *Record) error, opts ...Option) Function {
	return hook(Hook{Type: recordType, Trigger: OnBeforeSave}, name, fn, opts)
}

// AfterSave declares a hook that sees records of a type once they are stored.
func AfterSave(recordType, name string, fn func(ctx context.Context, c *Call, record, original *Record) error, opts ...Option) Function {
	return hook(Hook{Type: recordType, Trigger: OnAfterSave}, name, fn, opts)
}

// BeforeDelete declares a hook that may keep records of a type from being deleted.
func BeforeDelete(recordType, name string, fn func(ctx context.Context, c *Call, record *Record) error, opts ...Option) Function {
	return hook(Hook{Type: recordType, Trigger: OnBeforeDelete}, name, alone(fn), opts)
}

// AfterDelete declares a hook that sees records of a type once they are gone.
func AfterDelete(recordType, name string, fn func(ctx context.Context, c *Call, record *Record) error, opts ...Option) Function {
	return hook(Hook{Type: recordType, Trigger: OnAfterDelete}, name, alone(fn), opts)
}

func alone(fn func(context.Context, *Call, *Record) error) func(context.Context, *Call, *Record, *Record) error {
	return func(ctx context.Context, c *Call, record, _ *Record) error { return fn(ctx, c, record) }
}

func hook(h Hook, name string, fn func(ctx context.Context, c *Call, record, original *Record) error, opts []Option) Function {
	f := Raw(name, func(ctx context.Context, c *Call, args json.RawMessage) (json.RawMessage, error) {
		var in struct{ Record, Original *Record }
		if err := json.Unmarshal(args, &in); err != nil {
			return nil, err
		}
		if err := fn(ctx, c, in.Record, in.Original); err != nil {
			return nil, err
		}
		return json.Marshal(in.Record)
	})
	f.Hook = &h
	return f.with(opts)
}
