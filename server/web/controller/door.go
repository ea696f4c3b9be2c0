package controller

import (
	"cmp"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/go-chi/chi/v5"

	"crema/server/base/fault"
	"crema/server/core/deploys"
	"crema/server/core/deploys/logs"
	"crema/server/core/deploys/operators"
	"crema/server/web"
)

// Config is what the door needs.
type Config struct {
	App       string // its name
	Deploys   *deploys.Service
	Operators *operators.Service
	Gate      *web.Gate
	Logs      *logs.Service // what functions log
	PublicURL string        // where proxies let clients in; its scheme counts when a client used its host
	Key       []byte        // seals what opens a stream of logs
	Look      time.Duration // how often those who read streams are looked up again; 0: 15 s
	MaxBody   int64         // bytes of what is no file
}

// Door answers operators.
type Door struct {
	c    Config
	box  cipher.AEAD
	done chan struct{}
	once sync.Once
}

// New returns the door.
func New(c Config) *Door {
	c.Look = cmp.Or(c.Look, lookEvery)
	key := sha256.Sum256(c.Key)
	block, _ := aes.NewCipher(key[:]) // it fails for other lengths only
	box, _ := cipher.NewGCM(block)    // and so does this
	return &Door{c: c, box: box, done: make(chan struct{})}
}

// Stop ends the streams, which would never end by themselves.
func (d *Door) Stop() { d.once.Do(func() { close(d.done) }) }

// Uploads says whether r brings a file, or the list of all, whose size this door and the room bound: what an app allows its own
// clients does not count here.
func Uploads(r *http.Request) bool {
	path := r.URL.Path
	switch r.Method {
	case http.MethodPost:
		return strings.HasPrefix(path, uploadsPath) || strings.HasPrefix(path, appsPath) && (strings.HasSuffix(path, missingPath) || strings.HasSuffix(path, deploysPath))
	case http.MethodPut:
		return strings.HasPrefix(path, appsPath) && strings.Contains(path, "/files/")
	}
	return false
}

const (
	uploadsPath   = "/v2/uploads/"
	appsPath      = "/v2/apps/"
	missingPath   = "/files/missing"
	deploysPath   = "/deploys"
	buildLogsPath = "/v2/build-logs/"
)

// request is a call of somebody who is known.
type request struct {
	*http.Request
	w  http.ResponseWriter
	by string // who
}

// Register adds the door's paths to r.
func (d *Door) Register(r chi.Router) {
	r.Post("/v2/auth/login/", d.answer(d.logIn))
	r.Post("/v2/auth/login", d.answer(d.logIn))
	r.Get("/v2/apps/", d.known(d.apps))
	r.Get("/v2/apps", d.known(d.apps))
	r.Post(uploadsPath+"{upload}", d.answer(d.receive))
	r.Get(buildLogsPath+"{ticket}", d.answer(d.buildLog))
	r.Get("/v2/log-stream", d.stream)
	r.Get("/v2/tokens", d.known(d.tokens))
	r.Post("/v2/tokens", d.known(d.createToken))
	r.Delete("/v2/tokens/{token}", d.known(d.revokeToken))
	r.Route("/v2/apps/{app}", func(r chi.Router) {
		r.Post("/artifacts/upload", d.known(d.announce))
		r.Post("/artifacts", d.known(d.take))
		r.Post("/build_jobs", d.known(d.build))
		r.Get("/status", d.known(d.status))
		r.Get("/log-stream", d.known(d.openStream))
		r.Get("/logs", d.known(d.follow))
		r.Post(missingPath, d.known(d.missing))
		r.Put("/files/{hash}", d.known(d.keep))
		r.Post(deploysPath, d.known(d.deploy))
		r.Post("/rollback", d.known(d.rollback))
		r.Get("/jobs/{job}", d.known(d.job))
		r.Get("/versions", d.known(d.versions))
		r.Get("/secrets", d.known(d.secrets))
		r.Put("/secrets/{name}", d.known(d.setSecret))
		r.Delete("/secrets/{name}", d.known(d.deleteSecret))
	})
}

// answer runs a handler and writes its error in the form of this door.
func (d *Door) answer(h func(http.ResponseWriter, *http.Request) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if err := h(w, r); err != nil {
			fail(w, r, err)
		}
	}
}

// known lets only operators through, and only to the app that there is.
func (d *Door) known(h func(request) error) http.HandlerFunc {
	return d.answer(func(w http.ResponseWriter, r *http.Request) error {
		by, err := d.c.Operators.Who(r.Context(), token(r))
		if err != nil {
			return err
		}
		if app := chi.URLParam(r, "app"); app != "" && app != d.c.App {
			return fault.New(fault.NotFound, "controller.no_app", "there is no app %.100s here; this server has %s (see skygear.json)", app, d.c.App)
		}
		return h(request{r, w, by})
	})
}

// token is what Authorization shows. Wire: Token, and JWT for what looks like one.
func token(r *http.Request) string {
	scheme, text, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	switch strings.ToLower(scheme) {
	case "token", "jwt", "bearer":
		return strings.TrimSpace(text)
	}
	return ""
}

// fail writes an error. Wire: of what it asks for with GET, skycli shows a message only with a status of 500 and more.
func fail(w http.ResponseWriter, r *http.Request, err error) {
	we := web.Describe(r, err)
	status := we.Status
	if r.Method == http.MethodGet && isSkycli(r) && status < 500 {
		status = http.StatusInternalServerError
	}
	web.WriteJSON(w, status, map[string]any{"detail": we.Message, "error": we})
}

func isSkycli(r *http.Request) bool {
	return strings.HasPrefix(r.Header.Get("User-Agent"), "node-fetch/1.")
}

// decodeList is decode for what tells about all files of a version.
func decodeList(r request, to any) error {
	_ = http.NewResponseController(r.w).SetReadDeadline(time.Now().Add(listTime)) // what is no connection has none
	return decode(r.w, r.Request, maxList, to)
}

// decode reads the body of r, an object.
func (d *Door) decode(w http.ResponseWriter, r *http.Request, to any) error {
	return decode(w, r, d.c.MaxBody, to)
}

func decode(w http.ResponseWriter, r *http.Request, limit int64, to any) error {
	body, err := web.ReadBody(w, r, limit)
	if err != nil {
		return err
	}
	if len(body) == 0 {
		return nil
	}
	if err := json.Unmarshal(body, to); err != nil {
		return fault.Wrap(err, fault.BadRequest, "controller.bad_json", "the request's body is not the JSON that is expected here")
	}
	return nil
}

// base is how the client has reached us.
func (d *Door) base(r *http.Request) string {
	scheme := "http"
	if u, err := url.Parse(d.c.PublicURL); r.TLS != nil || err == nil && u.Host == r.Host && u.Scheme == "https" {
		scheme = "https"
	}
	return scheme + "://" + r.Host
}

func pause(ctx context.Context, t time.Duration) {
	timer := time.NewTimer(t)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
