package skygear

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"

	"crema/server/core/acl"
	"crema/server/core/functions"
	"crema/server/core/records"
	"crema/server/web"
)

// lambda calls a function with the body's "args". A null result leaves the envelope empty.
func (d *Door) lambda(ctx context.Context, w http.ResponseWriter, c call, name string) error {
	f, err := d.c.Functions.Lookup(name)
	if err != nil {
		return err
	}
	caller, err := d.c.Gate.ForFunction(ctx, c.credentials, f.UserRequired, f.KeyRequired)
	if err != nil {
		return err
	}
	args := c.params["args"]
	if args == nil {
		args = json.RawMessage("{}")
	}
	if f.AnyArgs {
		body, err := json.Marshal(withCredentials(c))
		if err != nil {
			return fmt.Errorf("write a request for a function: %w", err)
		}
		ctx = functions.WithPayload(ctx, body)
	}
	result, err := d.c.Functions.Invoke(acl.WithActor(ctx, caller.Actor), name, args)
	if err != nil {
		return err
	}
	if result = bytes.TrimSpace(result); len(result) == 0 || string(result) == "null" {
		web.WriteRaw(w, http.StatusOK, []byte("{}\n"))
		return nil
	}
	b := append(make([]byte, 0, len(result)+16), `{"result":`...)
	b = append(b, result...)
	web.WriteRaw(w, http.StatusOK, append(b, "}\n"...))
	return nil
}

// withCredentials are the params with the key and the token where functions look for them, also when they came as headers.
// Wire: skygear §4.5.
func withCredentials(c call) records.Params {
	all := maps.Clone(c.params)
	if all == nil {
		all = records.Params{}
	}
	for name, value := range map[string]string{"api_key": c.credentials.APIKey, "access_token": c.credentials.Token} {
		if text, err := json.Marshal(value); err == nil && value != "" {
			all[name] = text
		}
	}
	return all
}
