package workers

import (
	"cmp"
	"context"
	"encoding/json"
	"log/slog"
	"runtime"
	"sync"
	"time"

	"crema/server/base/fault"
	"crema/server/base/proc"
	"crema/server/base/telemetry"
)

// Language is what functions are written in.
type Language string

// The languages that workers run.
const (
	Python     Language = "python"
	JavaScript Language = "javascript"
)

// Kind says what is called.
type Kind string

// The kinds of calls. The names are the wire's of Skygear v1.
const (
	Op       Kind = "op"
	Handler  Kind = "handler"
	Hook     Kind = "hook"
	Timer    Kind = "timer"
	Provider Kind = "provider"
	Event    Kind = "event"
)

// Config is what a pool works with.
type Config struct {
	Language Language
	Program  string            // the interpreter; "" is python3 or node from the PATH
	Dir      string            // the folder of the functions
	Project  bool              // one of Skygear v1: only the file that loads the others counts
	Env      map[string]string // for the workers, beside what every program needs
	DevMode  bool              // errors tell where they happened
	Settings json.RawMessage   // what events of the server's life tell, {"config": {...}}; nil: nothing
	Client   string            // in JavaScript: the client library, a CommonJS module

	// Action runs what a function asks of the server: the body of a request of the wire, answered with the
	// body of the response. ctx is the call's; it knows how deep calls nest. nil refuses everything.
	Action func(ctx context.Context, body json.RawMessage) json.RawMessage

	Workers   int           // processes at most; 0: one for each processor, at least 2
	Slots     int           // calls at a time in one process; 0: 4 in Python, 100 in JavaScript
	Queue     int           // calls that wait for a slot; 0: 64
	Wait      time.Duration // how long they wait at most; 0: 1 s
	LoadLimit time.Duration // how long the functions may take to load; 0: 10 s
	Memory    int64         // bytes for a worker; 0: 512 MiB
	Processes int64         // processes and threads that functions may start; 0: 256

	Log  *slog.Logger    // nil: the default logger
	Hide telemetry.Hider // what may not stand in Log, nor in the texts of errors

	requests *requests // of calls
}

func (c Config) withDefaults() Config {
	c.Workers = cmp.Or(c.Workers, max(2, runtime.GOMAXPROCS(0)))
	c.Slots = cmp.Or(c.Slots, map[Language]int{Python: 4, JavaScript: 100}[c.Language])
	c.Queue = cmp.Or(c.Queue, 64)
	c.Wait = cmp.Or(c.Wait, time.Second)
	c.LoadLimit = cmp.Or(c.LoadLimit, 10*time.Second)
	c.Memory = cmp.Or(c.Memory, 512<<20)
	c.Processes = cmp.Or(c.Processes, 256)
	c.Log = c.Hide.Logger(cmp.Or(c.Log, slog.Default()))
	c.requests = &requests{}
	return c
}

// requests remembers which requests the last calls belong to: a line of a call is often read after its end.
type requests struct {
	mu   sync.Mutex
	last [1024]struct {
		call    uint64
		request string
	}
}

func (r *requests) note(call uint64, request string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	at := &r.last[call%uint64(len(r.last))]
	at.call, at.request = call, request
}

// of returns the id of a call's request, "" when there is none or it was long ago.
func (r *requests) of(call uint64) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if at := &r.last[call%uint64(len(r.last))]; at.call == call {
		return at.request
	}
	return ""
}

// Caller is who calls, as functions see it.
type Caller struct {
	UserID    string `json:"user_id,omitempty"`
	KeyType   string `json:"access_key_type,omitempty"` // "client" or "master"
	RequestID string `json:"request_id,omitempty"`
}

// Registered is what the functions of a folder offer, as the init event of Skygear v1 answers.
type Registered struct {
	Ops       []Declared       `json:"op"`
	Handlers  []Declared       `json:"handler"`
	Hooks     []DeclaredHook   `json:"hook"`
	Timers    []DeclaredTimer  `json:"timer"`
	Providers []DeclaredAuth   `json:"provider"`
	Events    []Declared       `json:"event"`
	Static    []DeclaredStatic `json:"static"`
	Problems  []Problem        `json:"problems"` // files that did not load; the others did
	Version   string           `json:"version"`  // of the interpreter
}

// Declared is a function or an HTTP handler.
type Declared struct {
	Name         string   `json:"name"`
	KeyRequired  bool     `json:"key_required"`
	UserRequired bool     `json:"user_required"`
	AuthRequired bool     `json:"auth_required,omitempty"` // what early plugins say for KeyRequired
	Methods      []string `json:"methods"`                 // of a handler
}

// DeclaredHook runs around saves and deletes of one record type.
type DeclaredHook struct {
	Name    string `json:"name"`
	Type    string `json:"type"`
	Trigger string `json:"trigger"` // beforeSave, afterSave, beforeDelete, afterDelete
	Async   bool   `json:"async"`

	AsyncMode bool `json:"async_mode,omitempty"` // what later plugins say for Async
}

// DeclaredTimer runs by the clock: six fields with seconds, or @every and the like.
type DeclaredTimer struct {
	Name string `json:"name"`
	Spec string `json:"spec"`
}

// DeclaredAuth is a provider of identities.
type DeclaredAuth struct {
	Type string `json:"type"`
	ID   string `json:"id"`
}

// DeclaredStatic is a folder of files to serve below /static.
type DeclaredStatic struct {
	Prefix string `json:"prefix"`
	Dir    string `json:"dir"`
}

// Problem is a file that could not be loaded.
type Problem struct {
	File    string `json:"file"`
	Line    int    `json:"line"` // 0: not known
	Message string `json:"message"`
	Trace   string `json:"trace"` // for the log
}

// depthKey is where ctx keeps how deep calls nest.
type depthKey struct{}

// maxDepth is how deep functions may call functions through the server.
const maxDepth = 8

func depth(ctx context.Context) int {
	n, _ := ctx.Value(depthKey{}).(int)
	return n
}

// othersGrow is how many more tasks the user of the functions may come to run beside them. The kernel's limit counts
// all of a user's, so without this room a browser that is opened would keep functions from starting a thread.
// Other pools are the only ones beside us where the user is nobody.
func othersGrow(a *proc.Account) int64 {
	if a == nil {
		return 4096
	}
	return 512
}

// limits are a worker's. What a runtime maps for itself comes on top.
func (c Config) limits(a *proc.Account) proc.Limits {
	l := proc.Limits{Memory: c.Memory, Group: c.Memory, Reserve: 64 << 20, Processes: c.Processes + othersGrow(a), Files: 1024, FileSize: 1 << 30}
	if c.Language == JavaScript { // thread stacks, code, buffers of the engine
		l.Reserve = 512 << 20
	} else { // all workers are children of one process
		l.Group = c.Memory * int64(c.Workers)
	}
	return l
}

func tooDeep() error {
	return fault.New(fault.Invalid, "workers.too_deep", "functions call functions more than %d levels deep; is there a circle?", maxDepth)
}
