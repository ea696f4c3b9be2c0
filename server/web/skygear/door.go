package skygear

import (
	"bytes"
	"context"
	"net/http"
	"strings"

	"crema/server/core/assets"
	"crema/server/core/functions"
	"crema/server/core/push"
	"crema/server/core/records"
	"crema/server/core/relations"
	"crema/server/core/schema"
	"crema/server/core/users"
	"crema/server/web"
)

// Config is what the door needs.
type Config struct {
	Gate      *web.Gate
	Schema    *schema.Service
	Records   *records.Service
	Relations *relations.Service
	Users     *users.Service
	Functions *functions.Service
	Assets    *assets.Service
	Push      *push.Service
	DevMode   bool  // the client key may change the schema and the default roles
	MaxBody   int64 // bytes
}

// Door answers the wire.
type Door struct {
	c       Config
	actions map[string]action
}

// New returns the door.
func New(c Config) *Door {
	d := &Door{c: c}
	d.actions = d.table()
	return d
}

// ServeHTTP answers any method on any path; the wire does not look at the method.
func (d *Door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := web.ReadBody(w, r, d.c.MaxBody)
	if err != nil {
		web.WriteError(w, r, err)
		return
	}
	params, ok := records.DecodeParams(body)
	if !ok { // the wire has no envelope for what is not JSON
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	web.Handler(func(w http.ResponseWriter, r *http.Request) error {
		run, err := d.resolve(r, params)
		if err != nil {
			return err
		}
		return run(r.Context(), w, call{params: params, credentials: d.credentials(r, params)})
	}).ServeHTTP(w, r)
}

// resolve finds what to run: the path wins over "action"; a function wins over an action of ours.
func (d *Door) resolve(r *http.Request, params records.Params) (handler, error) {
	if name := actionOfPath(r.URL.Path); name != "" {
		if h := d.find(name); h != nil {
			return h, nil
		}
	}
	name := records.Text(params, "action")
	if h := d.find(name); h != nil {
		return h, nil
	}
	_, err := d.c.Functions.Lookup(name) // fails, and knows names that are nearly right
	return nil, err
}

func (d *Door) find(name string) handler {
	if d.c.Functions.Has(name) {
		return func(ctx context.Context, w http.ResponseWriter, c call) error {
			return d.lambda(ctx, w, c, name)
		}
	}
	if a, ok := d.actions[name]; ok {
		return d.serve(a)
	}
	return nil
}

func actionOfPath(path string) string {
	return strings.ReplaceAll(strings.TrimPrefix(path, "/"), "/", ":")
}

// credentials takes the headers first, then the body.
func (d *Door) credentials(r *http.Request, params records.Params) web.Credentials {
	c := d.c.Gate.Credentials(r)
	if c.APIKey == "" {
		c.APIKey = records.Text(params, "api_key")
	}
	if c.Token == "" {
		c.Token = records.Text(params, "access_token")
	}
	c.UserID = records.Text(params, "_user_id")
	c.FromPlugin = string(bytes.TrimSpace(params["_from_plugin"])) == "true"
	return c
}
