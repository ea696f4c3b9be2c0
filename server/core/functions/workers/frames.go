package workers

import (
	"encoding/json"

	"crema/server/base/fault"
	"crema/server/base/jsonfast"
	"crema/server/core/acl"
)

// The types of frames. The runtimes in python/ and node/ have the same list.
const (
	frameHello    = 1  // to the runtime: hello
	frameReady    = 2  // from it, and from the parent of workers for its frameLoad: ready
	frameLoad     = 3  // to a worker: load; to the parent of workers: hello
	frameRegister = 4  // from it: Registered
	frameCall     = 5  // to it: invocation; the frame's id names the call from now on
	frameResult   = 6  // from it: JSON, the result
	frameError    = 7  // from it: failure
	frameAction   = 8  // from it: the body of a request; id is the call's and a number of the action's own
	frameAnswer   = 9  // to it: the body of the response, with the action's id
	framePing     = 10 // to it
	framePong     = 11 // from it
	frameFork     = 12 // to the parent of workers, with stdout, stderr and the sockets of a new worker
	frameForked   = 13 // from it: child
	frameExited   = 14 // from it: child
	frameReap     = 15 // to it: child; its process id may be used again from now on
	frameRetire   = 16 // from a worker: it should be replaced, because memory ran out
	frameEnd      = 17 // to the parent of workers: it ends, and whatever it still has
)

// actionBits are the low bits of an action's id; the high ones are its call's.
const actionBits = 24

// hello is the first frame.
type hello struct {
	Sources map[string]string `json:"sources"` // the runtime's own modules, by file
	Preload []string          `json:"preload"` // modules to import before the first fork
	Stripe  string            `json:"stripe"`  // address of the sandbox, "" for the real one
}

type ready struct {
	Version string   `json:"version"`
	Error   string   `json:"error"` // why it cannot work
	Unfit   []string `json:"unfit"` // of hello.Preload: modules that leave something open, which workers would share
}

type load struct {
	Dir   string   `json:"dir"`
	Files []string `json:"files"` // in Dir
	Entry bool     `json:"entry"` // Files is the one file that loads the others itself

	Settings json.RawMessage `json:"settings,omitempty"` // of Config

	// Code is what the folder held when the pool was opened: all workers of a pool have the same code, however the
	// files change. nil: workers read the files.
	Code map[string][]byte `json:"code"`
}

// invocation is one call. Wire: the request of Skygear's plugin transport.
type invocation struct {
	Kind    Kind            `json:"kind"`
	Name    string          `json:"name"`
	Param   json.RawMessage `json:"param,omitempty"`
	Context Caller          `json:"context"`
}

// json is the invocation as it is sent. Param must be JSON and nothing behind it: it could name another caller.
func (in invocation) json() ([]byte, error) {
	if len(in.Param) > 0 && !jsonfast.Valid(in.Param) {
		return nil, fault.New(fault.BadRequest, "workers.bad_argument", "the arguments are no JSON")
	}
	b := append(make([]byte, 0, 160+len(in.Param)), `{"kind":`...)
	b = acl.AppendString(b, string(in.Kind))
	b = acl.AppendString(append(b, `,"name":`...), in.Name)
	if len(in.Param) > 0 {
		b = append(append(b, `,"param":`...), in.Param...)
	}
	b = append(b, `,"context":{`...)
	for _, f := range [...]struct{ key, value string }{
		{`"user_id":`, in.Context.UserID}, {`"access_key_type":`, in.Context.KeyType}, {`"request_id":`, in.Context.RequestID},
	} {
		if f.value == "" {
			continue
		}
		if b[len(b)-1] != '{' {
			b = append(b, ',')
		}
		b = acl.AppendString(append(b, f.key...), f.value)
	}
	return append(b, "}}"...), nil
}

type child struct {
	Pid    int    `json:"pid"`
	Status string `json:"status"`
}

// failure is an error that a function raised.
type failure struct {
	Code       int            `json:"code"`
	Message    string         `json:"message"`
	Info       map[string]any `json:"info"`
	Trace      string         `json:"trace"`
	Unexpected bool           `json:"unexpected"` // no error meant for callers
}

// codes maps the numbers that functions raise to ours. Numbers that are not here are the app's own.
var codes = map[int]fault.Code{
	101: fault.Unauthenticated, 102: fault.Denied, 103: fault.KeyRefused, 104: fault.TokenRefused, 105: fault.CredentialsRefused,
	106: fault.SignatureRefused, 107: fault.BadRequest, 108: fault.Invalid, 109: fault.Duplicate, 110: fault.NotFound,
	111: fault.NotSupported, 112: fault.NotImplemented, 113: fault.Constraint, 114: fault.Incompatible, 115: fault.AtomicFailure,
	116: fault.PartialFailure, 117: fault.UnknownOperation, 118: fault.Unavailable, 119: fault.UpstreamTimeout, 120: fault.QueryInvalid,
	121: fault.Initializing, 122: fault.Timeout, 123: fault.ArgumentDenied, 124: fault.QueryDenied, 125: fault.NotConfigured,
	126: fault.PolicyViolated, 127: fault.Disabled, 128: fault.VerificationRequired, 129: fault.AssetTooLarge,
	0: fault.Internal, 10000: fault.Internal, 10001: fault.AccountMissing, 10002: fault.DatabaseUnavailable,
	10003: fault.PushNotConfigured, 10004: fault.QueryBroken, 10005: fault.UserMissing,
}

// Raised is the error that a function raised, written as {code, message, info}. Wire: skygear §4.2; the name that belongs to
// the code is ours. Where it happened is told in DevMode only.
func Raised(text json.RawMessage, devMode bool) error {
	var e failure
	if err := json.Unmarshal(text, &e); err != nil {
		return fault.Wrap(err, fault.Internal, "workers.bad_error", "the function failed unexpectedly")
	}
	if e.Message == "" {
		e.Message = "the function failed unexpectedly"
	}
	if !devMode {
		delete(e.Info, "trace")
	}
	return e.fault(devMode)
}

// fault turns what a function raised into an error for its caller. The message is the function's; where it
// happened stays in the log unless the app is being developed.
func (f failure) fault(devMode bool) *fault.Error {
	code, known := codes[f.Code]
	if !known {
		code = fault.Custom
	}
	e := fault.New(code, "functions.raised", "%s", f.Message)
	e.Number = f.Code
	e.Details = f.Info
	if devMode && f.Trace != "" {
		e = e.With("trace", f.Trace)
	}
	return e
}
