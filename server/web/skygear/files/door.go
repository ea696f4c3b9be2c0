package files

import (
	"cmp"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"

	"crema/server/base/fault"
	"crema/server/core/acl"
	"crema/server/core/assets"
	"crema/server/web"
)

// prefix is the path of the door.
const prefix = "/files/"

// Door answers below /files/.
type Door struct {
	assets *assets.Service
	gate   *web.Gate

	patience time.Duration
}

// New returns the door.
func New(a *assets.Service, g *web.Gate) *Door { return &Door{assets: a, gate: g, patience: patience} }

// Register adds the door's paths to r. Other methods are undefined, as on every path of the old gateway.
func (d *Door) Register(r chi.Router) {
	r.Handle(prefix+"*", web.Handler(d.serve))
}

// Uploads says whether r brings a file, whose size and pace the door bounds itself.
func Uploads(r *http.Request) bool {
	return (r.Method == http.MethodPost || r.Method == http.MethodPut) && strings.HasPrefix(r.URL.Path, prefix)
}

func (d *Door) serve(w http.ResponseWriter, r *http.Request) error {
	name := strings.TrimPrefix(r.URL.Path, prefix)
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		return d.read(w, r, name)
	case http.MethodPost, http.MethodPut:
		return d.receive(w, r, name)
	}
	return fault.New(fault.UnknownOperation, "files.method", "files are read with GET and sent with POST or PUT")
}

// receive takes a file: the part "file" of a form with POST, the body with PUT. Of the caller only the
// key counts.
func (d *Door) receive(w http.ResponseWriter, r *http.Request, name string) error {
	c := d.gate.Credentials(r)
	c.APIKey = cmp.Or(c.APIKey, r.URL.Query().Get("api_key"))
	caller, err := d.gate.Keyed(c)
	if err != nil {
		return err
	}
	u, err := d.upload(w, r)
	if err != nil {
		return err
	}
	asset, err := d.assets.Receive(acl.WithActor(r.Context(), caller.Actor), name, u.contentType, u.body)
	if err != nil {
		return u.body.blame(err)
	}
	web.WriteJSON(w, http.StatusOK, map[string]json.Marshaler{"result": asset})
	return nil
}
