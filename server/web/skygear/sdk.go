package skygear

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"

	"crema/server/base/fault"
	"crema/server/web"
	"crema/server/web/skygear/sdk"
)

const (
	javaScript = "text/javascript; charset=utf-8"
	typeScript = "text/plain; charset=utf-8"
)

// SDK serves the JavaScript client: skygear.js for classic scripts, skygear.mjs as a module, and their
// types. Any origin may load it.
func SDK() chi.Router {
	r := chi.NewRouter()
	serve := func(name, contentType string, body []byte, err error) {
		h := sdkFile(contentType, body, err)
		r.Get("/"+name, h)
		r.Head("/"+name, h)
	}
	script, err := sdk.Script()
	serve("skygear.js", javaScript, script, err)
	for name, contentType := range map[string]string{
		"skygear.mjs": javaScript, "skygear.d.mts": typeScript, "skygear.d.ts": typeScript,
	} {
		body, err := sdk.FS.ReadFile(name)
		serve(name, contentType, body, err)
	}
	return r
}

func sdkFile(contentType string, body []byte, err error) http.HandlerFunc {
	packed, packErr := pack(body)
	err = errors.Join(err, packErr)
	sum := sha256.Sum256(body)
	etag := hex.EncodeToString(sum[:8])
	return func(w http.ResponseWriter, r *http.Request) {
		if err != nil {
			web.WriteError(w, r, fault.From(err))
			return
		}
		h := w.Header()
		h.Set("Content-Type", contentType)
		h.Set("Cache-Control", "no-cache")
		h.Set("Cross-Origin-Resource-Policy", "cross-origin")
		h.Add("Vary", "Accept-Encoding")
		h.Set("ETag", `"`+etag+`"`)
		content := body
		if takesGzip(r) {
			h.Set("Content-Encoding", "gzip")
			h.Set("ETag", `"`+etag+`-gzip"`)
			content = packed
		}
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content))
	}
}

func pack(body []byte) ([]byte, error) {
	var b bytes.Buffer
	w, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(body); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

func takesGzip(r *http.Request) bool {
	for _, coding := range strings.Split(r.Header.Get("Accept-Encoding"), ",") {
		name, quality, weighed := strings.Cut(strings.TrimSpace(coding), ";")
		if !strings.EqualFold(strings.TrimSpace(name), "gzip") {
			continue
		}
		weight := strings.TrimPrefix(strings.TrimSpace(quality), "q=")
		return !weighed || strings.Trim(weight, "0.") != ""
	}
	return false
}
