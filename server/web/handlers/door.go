package handlers

import (
	"context"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"crema/server/base/fault"
	"crema/server/core/acl"
	"crema/server/core/functions"
	"crema/server/web"
)

// Config is what the door needs.
type Config struct {
	Functions *functions.Service
	Gate      *web.Gate
	MaxBody   int64 // bytes
}

// Door answers the paths of HTTP handlers.
type Door struct{ c Config }

// New returns the door.
func New(c Config) *Door { return &Door{c} }

// Match returns what answers a request when its path is a handler's.
func (d *Door) Match(r *http.Request) (http.Handler, bool) {
	h, redirect, ok, err := d.c.Functions.Handler(r.Method, r.URL.Path)
	switch {
	case !ok:
		return nil, false
	case redirect != "":
		target := url.URL{Path: redirect, RawQuery: r.URL.RawQuery}
		return http.RedirectHandler(target.String(), http.StatusMovedPermanently), true
	case err != nil:
		return web.Handler(func(http.ResponseWriter, *http.Request) error { return err }), true
	}
	return web.Handler(func(w http.ResponseWriter, r *http.Request) error { return d.serve(w, r, h) }), true
}

func (d *Door) serve(w http.ResponseWriter, r *http.Request, h functions.Handler) error {
	query := r.URL.Query()
	credentials := d.c.Gate.Credentials(r)
	if credentials.APIKey == "" {
		credentials.APIKey = query.Get("api_key")
	}
	if credentials.Token == "" {
		credentials.Token = query.Get("access_token")
	}
	caller, err := d.c.Gate.ForFunction(r.Context(), credentials, h.UserRequired, h.KeyRequired)
	if err != nil {
		return err
	}
	body, err := web.ReadBody(w, r, d.c.MaxBody)
	if err != nil {
		return err
	}
	d.run(acl.WithActor(r.Context(), caller.Actor), w, r, h, body)
	return nil
}

func (d *Door) run(ctx context.Context, w http.ResponseWriter, r *http.Request, h functions.Handler, body []byte) {
	header := r.Header.Clone()
	header.Set("Host", r.Host)
	in := functions.Request{Method: r.Method, Path: r.URL.Path, Query: r.URL.RawQuery, Header: header, Body: body}
	h.Serve(ctx, in, func(answer functions.Response, err error) {
		late := err != nil && fault.Is(err, "functions.timeout")
		if late { // the connection is busy until the function ends
			w.Header().Set("Connection", "close")
		}
		if err != nil {
			web.WriteError(w, r, err)
		} else {
			write(w, answer)
		}
		if late {
			_ = http.NewResponseController(w).Flush() // a writer that cannot flush answers at the end
		}
	})
}

// ours are headers that belong to the connection.
var ours = map[string]bool{
	"Connection": true, "Content-Length": true, "Keep-Alive": true, "Te": true, "Trailer": true, "Transfer-Encoding": true, "Upgrade": true,
}

func write(w http.ResponseWriter, answer functions.Response) {
	own := http.Header{} // a function may write one name in several ways
	for _, name := range slices.Sorted(maps.Keys(answer.Header)) {
		if canonical := http.CanonicalHeaderKey(strings.TrimSpace(name)); !ours[canonical] {
			own[canonical] = append(own[canonical], answer.Header[name]...)
		}
	}
	maps.Copy(w.Header(), own)
	if len(own["Content-Type"]) == 0 {
		w.Header()["Content-Type"] = nil // nothing is guessed
	}
	w.WriteHeader(answer.Status)
	_, _ = w.Write(answer.Body) // the client may be gone; nobody else cares
}
