package controller

import (
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/go-chi/chi/v5"

	"crema/server/base/fault"
	"crema/server/core/deploys"
	"crema/server/core/deploys/archive"
	"crema/server/web"
)

const (
	// hold is how long skycli waits for its first answer: it sends its archive as soon as that comes, even when the
	// archive is still being written. Wire: platform §0.3.
	hold       = 250 * time.Millisecond
	longPoll   = 25 * time.Second // below what proxies allow
	uploadTime = 15 * time.Minute

	// maxUpload is read of an archive that is too large: skycli reads the answer only when it has sent all.
	maxUpload = 5 * archive.MaxArchive

	buildLogFor = 15 * time.Minute // in which a log may be read without a token
)

// logIn exchanges a password for a token. Wire: L1.
func (d *Door) logIn(w http.ResponseWriter, r *http.Request) error {
	var in struct {
		Username string `json:"username"`
		Password string `json:"password"`
	}
	if err := d.decode(w, r, &in); err != nil {
		return err
	}
	token, err := d.c.Operators.LogIn(r.Context(), in.Username, in.Password, d.c.Gate.Credentials(r).Address)
	if err != nil {
		we := web.Describe(r, err)
		web.WriteJSON(w, we.Status, map[string]any{"non_field_errors": []string{we.Message}, "detail": we.Message, "error": we})
		return nil
	}
	web.WriteJSON(w, http.StatusOK, map[string]string{"token": token})
	return nil
}

// apps lists the one app. Wire: I1.
func (d *Door) apps(r request) error {
	web.WriteJSON(r.w, http.StatusOK, map[string]any{
		"count": 1, "next": nil, "previous": nil, "results": []map[string]string{{"id": d.c.App}},
	})
	return nil
}

// announce says where an archive goes. Wire: D1.
func (d *Door) announce(r request) error {
	id, err := d.c.Deploys.Upload(r.Context(), r.by)
	if err != nil {
		return err
	}
	if isSkycli(r.Request) {
		pause(r.Context(), hold)
	}
	web.WriteJSON(r.w, http.StatusOK, map[string]any{
		"upload_request":   map[string]any{"url": d.base(r.Request) + uploadsPath + id, "fields": map[string]string{"key": d.c.App + "/" + id + ".tar.gz"}},
		"artifact_request": id,
	})
	return nil
}

// receive takes an archive. Wire: D2; skycli understands no refusal here, take tells it. Whoever was not told where
// archives go gets neither time nor room.
func (d *Door) receive(w http.ResponseWriter, r *http.Request) error {
	if err := d.c.Deploys.Expects(r.Context(), chi.URLParam(r, "upload")); err != nil {
		return err
	}
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(uploadTime)) // what is no connection has none
	r.Body = http.MaxBytesReader(w, r.Body, maxUpload)
	form, err := r.MultipartReader()
	if err != nil {
		return fault.Wrap(err, fault.BadRequest, "controller.no_form", "send the archive as the part file of multipart/form-data")
	}
	for {
		part, err := form.NextPart()
		if err != nil {
			return fault.Wrap(err, fault.BadRequest, "controller.no_part", "the form has no part file")
		}
		if part.FormName() != "file" {
			continue
		}
		if err := d.c.Deploys.Receive(r.Context(), chi.URLParam(r, "upload"), part); err != nil {
			return err
		}
		_, _ = io.Copy(io.Discard, part) // skycli reads the answer only when it has sent all
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
}

// take says whether the archive is good. Wire: D3.
func (d *Door) take(r request) error {
	var in struct {
		Request string `json:"artifact_request"`
	}
	if err := d.decode(r.w, r.Request, &in); err != nil {
		return err
	}
	if err := d.c.Deploys.Take(r.Context(), r.by, in.Request); err != nil {
		return err
	}
	web.WriteJSON(r.w, http.StatusOK, map[string]string{"id": in.Request[:min(len(in.Request), 6)]})
	return nil
}

// build deploys what was taken last. Wire: D4.
func (d *Door) build(r request) error {
	job, err := d.c.Deploys.Build(r.Context(), r.by)
	if err != nil {
		return err
	}
	web.WriteJSON(r.w, http.StatusOK, map[string]string{"id": job})
	return nil
}

// status waits for the end of the operator's last job. Wire: D5.
func (d *Door) status(r request) error {
	id, err := d.c.Deploys.LastJob(r.Context(), r.by)
	if err != nil {
		return err
	}
	j, err := d.awaitEnd(r, id)
	if err != nil {
		return err
	}
	web.WriteJSON(r.w, http.StatusOK, map[string]any{
		"status":         "running",
		"last_build_job": map[string]any{"id": id, "status": j.State, "log_url": d.base(r.Request) + buildLogsPath + d.ticket("build log", id, buildLogFor)},
	})
	return nil
}

// awaitEnd waits in short steps, so that a server that stops need not wait for it.
func (d *Door) awaitEnd(r request, id string) (j deploys.Job, err error) {
	for end := time.Now().Add(longPoll); ; {
		j, err = d.c.Deploys.Job(r.Context(), id, 1<<30, time.Second)
		if err != nil || j.State != deploys.Running || !time.Now().Before(end) || d.stopping() {
			return j, err
		}
	}
}

func (d *Door) stopping() bool {
	select {
	case <-d.done:
		return true
	default:
		return false
	}
}

// buildLog sends a job's log as text to whoever has the ticket that status tells. Wire: D6.
func (d *Door) buildLog(w http.ResponseWriter, r *http.Request) error {
	id, ok := d.admitted("build log", chi.URLParam(r, "ticket"))
	if !ok {
		return fault.New(fault.TokenRefused, "controller.log_ticket", "this address of a build log is no longer good; ask for the status again")
	}
	j, err := d.c.Deploys.Job(r.Context(), id, 0, 0)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	_, err = io.WriteString(w, j.Log)
	return ignoreGone(err)
}

// ignoreGone drops what a client that went away causes: nobody is there to be told.
func ignoreGone(err error) error {
	var f *fault.Error
	if errors.As(err, &f) {
		return err
	}
	return nil
}
