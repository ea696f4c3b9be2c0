package controller

import (
	"encoding/hex"
	"io/fs"
	"net/http"
	"strconv"
	"time"

	"github.com/go-chi/chi/v5"

	"crema/server/base/fault"
	"crema/server/core/deploys"
	"crema/server/core/deploys/archive"
	"crema/server/core/deploys/operators"
	"crema/server/web"
)

// File is one file of a deploy, as our command line announces it.
type File struct {
	Path   string `json:"path"`
	SHA256 string `json:"sha256"` // hexadecimal
	Size   int64  `json:"size"`
	Mode   uint32 `json:"mode"`
}

const (
	maxList  = 16 << 20 // bytes of a list of as many files as may be
	listTime = 2 * time.Minute
)

func hash(text string) ([]byte, error) {
	b, err := hex.DecodeString(text)
	if err != nil || len(b) != 32 {
		return nil, fault.Argument("controller.bad_hash", "sha256", "a hash is a SHA-256 in 64 hexadecimal digits")
	}
	return b, nil
}

// missing tells which contents are not there yet.
func (d *Door) missing(r request) error {
	var in struct {
		Hashes []string `json:"hashes"`
	}
	if err := decodeList(r, &in); err != nil {
		return err
	}
	hashes := make([][]byte, len(in.Hashes))
	for i, text := range in.Hashes {
		var err error
		if hashes[i], err = hash(text); err != nil {
			return err
		}
	}
	missing, err := d.c.Deploys.Missing(r.Context(), hashes)
	if err != nil {
		return err
	}
	out := make([]string, len(missing))
	for i, h := range missing {
		out[i] = hex.EncodeToString(h)
	}
	web.WriteJSON(r.w, http.StatusOK, map[string]any{"missing": out})
	return nil
}

// keep takes one content.
func (d *Door) keep(r request) error {
	_ = http.NewResponseController(r.w).SetReadDeadline(time.Now().Add(uploadTime)) // what is no connection has none
	h, err := hash(chi.URLParam(r.Request, "hash"))
	if err != nil {
		return err
	}
	if err := d.c.Deploys.Keep(r.Context(), h, r.Body); err != nil {
		return err
	}
	r.w.WriteHeader(http.StatusNoContent)
	return nil
}

// deploy makes a version of files whose contents are there.
func (d *Door) deploy(r request) error {
	var in struct {
		Files []File `json:"files"`
	}
	if err := decodeList(r, &in); err != nil {
		return err
	}
	files := make([]deploys.File, len(in.Files))
	for i, f := range in.Files {
		h, err := hash(f.SHA256)
		if err != nil {
			return err
		}
		files[i] = deploys.File{Path: f.Path, Hash: h, Size: f.Size, Mode: archive.Mode(fs.FileMode(f.Mode))}
	}
	return r.started(d.c.Deploys.Begin(r.Context(), r.by, files))
}

// started answers with a job that has been begun.
func (r request) started(job string, err error) error {
	if err != nil {
		return err
	}
	web.WriteJSON(r.w, http.StatusOK, map[string]string{"job": job})
	return nil
}

func (d *Door) rollback(r request) error {
	var in struct {
		Version *int64 `json:"version"`
	}
	if err := d.decode(r.w, r.Request, &in); err != nil {
		return err
	}
	return r.started(d.c.Deploys.Rollback(r.Context(), r.by, in.Version))
}

// job tells what a job has said beyond the first "from" bytes, and waits a moment when that is nothing.
func (d *Door) job(r request) error {
	from, err := strconv.Atoi(r.URL.Query().Get("from"))
	if err != nil || from < 0 {
		from = 0
	}
	wait := 10 * time.Second
	if d.stopping() {
		wait = 0
	}
	j, err := d.c.Deploys.Job(r.Context(), chi.URLParam(r.Request, "job"), from, wait)
	if err != nil {
		return err
	}
	web.WriteJSON(r.w, http.StatusOK, map[string]any{"state": j.State, "log": j.Log[min(from, len(j.Log)):]})
	return nil
}

func (d *Door) versions(r request) error {
	all, err := d.c.Deploys.Versions(r.Context())
	if err == nil {
		web.WriteJSON(r.w, http.StatusOK, map[string]any{"versions": all})
	}
	return err
}

func (d *Door) secrets(r request) error {
	all, err := d.c.Deploys.Secrets(r.Context())
	if err == nil {
		web.WriteJSON(r.w, http.StatusOK, map[string]any{"secrets": all})
	}
	return err
}

func (d *Door) setSecret(r request) error {
	var in struct {
		Value string `json:"value"`
	}
	if err := d.decode(r.w, r.Request, &in); err != nil {
		return err
	}
	return r.started(d.c.Deploys.SetSecret(r.Context(), r.by, chi.URLParam(r.Request, "name"), in.Value))
}

func (d *Door) deleteSecret(r request) error {
	return r.started(d.c.Deploys.DeleteSecret(r.Context(), r.by, chi.URLParam(r.Request, "name")))
}

func (d *Door) tokens(r request) error {
	all, err := d.c.Operators.Tokens(r.Context())
	if err == nil {
		web.WriteJSON(r.w, http.StatusOK, map[string]any{"tokens": all})
	}
	return err
}

// createToken makes a deploy token of whoever asks; the master key says for whom.
func (d *Door) createToken(r request) error {
	var in struct {
		Email string `json:"email"`
		Label string `json:"label"`
	}
	if err := d.decode(r.w, r.Request, &in); err != nil {
		return err
	}
	email := r.by
	if r.by == operators.Master {
		email = in.Email
	}
	made, text, err := d.c.Operators.CreateToken(r.Context(), email, in.Label)
	if err != nil {
		return err
	}
	web.WriteJSON(r.w, http.StatusOK, map[string]any{"token": text, "id": made.ID})
	return nil
}

func (d *Door) revokeToken(r request) error {
	if err := d.c.Operators.Revoke(r.Context(), chi.URLParam(r.Request, "token")); err != nil {
		return err
	}
	r.w.WriteHeader(http.StatusNoContent)
	return nil
}
