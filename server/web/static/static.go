package static

import (
	"context"
	"log/slog"
	"net/http"
)

// Config says what to serve.
type Config struct {
	Dir string // the folder; one that does not exist serves nothing
	Log *slog.Logger
}

// Door serves a folder.
type Door struct{ dir string }

// File is something that the folder has for a path.
type File struct{ path string }

// New opens the folder. It reads no file yet.
func New(c Config) (*Door, error) { return &Door{dir: c.Dir}, nil }

// Start compresses the folder's files in the background.
func (d *Door) Start(ctx context.Context) {}

// Stop ends the background work and closes the folder.
func (d *Door) Stop() {}

// Match returns the file that answers r, if one does: the method is GET or HEAD, the folder has a file
// for the path, and for the path "/" the client accepts text/html. False leaves the request to the wire.
func (d *Door) Match(r *http.Request) (*File, bool) { return nil, false }

// Lookup returns the file for a decoded URL path: below "/", or below "/static/".
func (d *Door) Lookup(urlPath string) (*File, bool) { return nil, false }

// Serve answers r with f.
func (d *Door) Serve(w http.ResponseWriter, r *http.Request, f *File) {}

// NotFound answers 404: with the folder's 404.html to a browser, else with the error envelope.
func (d *Door) NotFound(w http.ResponseWriter, r *http.Request) {}

// ServeHTTP answers r with its file or 404.
func (d *Door) ServeHTTP(w http.ResponseWriter, r *http.Request) {}
