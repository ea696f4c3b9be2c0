package skygear

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"io/fs"
	"net/http"
	"time"

	"github.com/go-chi/chi/v5"

	"crema/server/web"
	"crema/server/web/skygear/sdk"
)

// SDK serves the JavaScript client: skygear.js for classic scripts, skygear.mjs as a module. Any
// origin may load it.
func SDK() chi.Router {
	r := chi.NewRouter()
	for _, name := range []string{"skygear.js", "skygear.mjs"} {
		r.Get("/"+name, sdkFile(name))
		r.Head("/"+name, sdkFile(name))
	}
	return r
}

func sdkFile(name string) http.HandlerFunc {
	body, err := fs.ReadFile(sdk.FS, name)
	sum := sha256.Sum256(body)
	etag := `"` + hex.EncodeToString(sum[:8]) + `"`
	return func(w http.ResponseWriter, r *http.Request) {
		if err != nil {
			web.WriteError(w, r, err)
			return
		}
		h := w.Header()
		h.Set("Content-Type", "text/javascript; charset=utf-8")
		h.Set("Cache-Control", "no-cache")
		h.Set("Cross-Origin-Resource-Policy", "cross-origin")
		h.Set("ETag", etag)
		http.ServeContent(w, r, name, time.Time{}, bytes.NewReader(body))
	}
}
