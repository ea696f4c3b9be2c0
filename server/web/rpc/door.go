package rpc

import (
	"context"
	"encoding/json"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"sync"

	"github.com/go-chi/chi/v5"

	"crema/server/base/fault"
	"crema/server/core/acl"
	"crema/server/core/functions"
	"crema/server/web"
)

// Door answers POST /lambda/<name>.
type Door struct {
	// MaxBody bounds a request's body in bytes; New sets 1 MiB.
	MaxBody int64

	functions *functions.Service
	gate      *web.Gate
	buffers   sync.Pool
}

// New returns the door to these functions.
func New(fns *functions.Service, gate *web.Gate) *Door {
	d := &Door{MaxBody: 1 << 20, functions: fns, gate: gate}
	d.buffers.New = func() any { return new([]byte) }
	return d
}

// Register puts the door's routes under /lambda on r. Every function has a route of its own, which
// costs less than a pattern and tells the metrics its name.
func (d *Door) Register(r chi.Router) {
	for _, name := range d.functions.Names() {
		r.Handle("/lambda/"+name, web.Handler(func(w http.ResponseWriter, r *http.Request) error { return d.call(w, r, name) }))
	}
	other := web.Handler(func(w http.ResponseWriter, r *http.Request) error { return d.call(w, r, nameOf(r)) })
	r.Handle("/lambda", other)
	r.Handle("/lambda/*", other)
}

// nameOf is the path below /lambda. "/" in a function's name may come as ":" or escaped.
func nameOf(r *http.Request) string {
	name := chi.URLParam(r, "*")
	if strings.IndexByte(name, '%') >= 0 {
		if plain, err := url.PathUnescape(name); err == nil {
			name = plain
		}
	}
	return name
}

// call answers one request. A name that is not known is told before a wrong method is.
func (d *Door) call(w http.ResponseWriter, r *http.Request, name string) error {
	f, err := d.functions.Lookup(name)
	if err != nil {
		return err
	}
	if err := postOfJSON(w, r); err != nil {
		return err
	}
	caller, err := d.gate.ForFunction(r.Context(), d.gate.Credentials(r), f.UserRequired, f.KeyRequired)
	if err != nil {
		return err
	}
	args, err := web.ReadBody(w, r, d.MaxBody)
	if err != nil {
		return err
	}
	d.run(acl.WithActor(r.Context(), caller.Actor), w, r, name, args)
	return nil
}

// postOfJSON refuses other methods and bodies that do not say that they are JSON: a form post would
// otherwise fail with a riddle about its first byte.
func postOfJSON(w http.ResponseWriter, r *http.Request) error {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		return fault.New(fault.MethodRefused, "rpc.method_refused", "functions are called with POST, not %.20s", r.Method)
	}
	if e := r.Header.Get("Content-Encoding"); e != "" && e != "identity" {
		return fault.New(fault.MediaType, "rpc.encoding_refused", "a compressed body is not understood; send it without Content-Encoding")
	}
	if t := r.Header.Get("Content-Type"); t != "" && t != "application/json" && !isJSON(t) {
		return fault.New(fault.MediaType, "rpc.media_type", "send the arguments as one JSON object with Content-Type: application/json, not %.60q", t)
	}
	return nil
}

func isJSON(contentType string) bool {
	t, params, err := mime.ParseMediaType(contentType)
	charset := params["charset"]
	return err == nil && (t == "application/json" || strings.HasPrefix(t, "application/") && strings.HasSuffix(t, "+json")) &&
		(charset == "" || strings.EqualFold(charset, "utf-8"))
}

// run calls the function, once per key where the request has one.
func (d *Door) run(ctx context.Context, w http.ResponseWriter, r *http.Request, name string, args []byte) {
	keys := r.Header["Idempotency-Key"]
	switch len(keys) {
	case 0:
		d.functions.Serve(ctx, name, args, func(result json.RawMessage, err error) { d.answer(w, r, result, err) })
	case 1:
		a, err := d.functions.InvokeOnce(ctx, keys[0], name, args)
		if a.Replayed {
			w.Header().Set("Idempotent-Replayed", "true")
		}
		d.answer(w, r, a.Result, err)
	default:
		d.answer(w, r, nil, fault.New(fault.BadRequest, "rpc.many_keys", "send one Idempotency-Key, not %d", len(keys)))
	}
}

// answer may run while the function still does: then the client gets everything now and must not use
// the connection again, which is busy until the function ends.
func (d *Door) answer(w http.ResponseWriter, r *http.Request, result json.RawMessage, err error) {
	late := err != nil && fault.Is(err, "functions.timeout")
	if late {
		w.Header().Set("Connection", "close")
	}
	if err != nil {
		web.WriteError(w, r, err)
	} else {
		d.write(w, result)
	}
	if late {
		_ = http.NewResponseController(w).Flush() // a writer that cannot flush answers at the end
	}
}

// maxPooled bounds the buffers that are kept for later, in bytes.
const maxPooled = 64 << 10

func (d *Door) write(w http.ResponseWriter, result json.RawMessage) {
	buf := d.buffers.Get().(*[]byte)
	b := append((*buf)[:0], `{"result":`...)
	b = append(b, result...)
	b = append(b, "}\n"...)
	web.WriteRaw(w, http.StatusOK, b)
	if *buf = b; cap(b) <= maxPooled {
		d.buffers.Put(buf)
	}
}
