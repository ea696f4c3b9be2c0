package files

import (
	"errors"
	"io"
	"mime/multipart"
	"net/http"
	"time"

	"crema/server/base/fault"
)

// A sender must keep up: the whole upload may take patience and what its bytes take at the slowest
// pace, and never more than longest.
const (
	patience = time.Minute
	slowest  = 16 << 10 // bytes a second
	longest  = 12 * time.Hour
	stride   = 64 << 10 // bytes between two looks at the clock
)

// formOverhead is how much of a form may be something else than the file.
const formOverhead = 1 << 20

// upload is a file on its way.
type upload struct {
	contentType string
	body        *sent
}

// upload finds the file in r. Nothing is kept in memory or on disk.
func (d *Door) upload(w http.ResponseWriter, r *http.Request) (upload, error) {
	limit := d.assets.MaxSize()
	if r.Method == http.MethodPost {
		limit += formOverhead
	}
	if r.ContentLength > limit {
		return upload{}, d.assets.Fits(r.ContentLength)
	}
	body := newPaced(w, r.Body, limit, d.assets.Fits, d.patience)
	u := upload{contentType: r.Header.Get("Content-Type"), body: &sent{Reader: body}}
	if r.Method == http.MethodPut {
		return u, checkType(u.contentType)
	}
	r.Body = io.NopCloser(body)
	form, err := r.MultipartReader()
	if err != nil {
		return u, fault.New(fault.BadRequest, "files.no_form", "send the file as the part %q of multipart/form-data, or with PUT", partName)
	}
	part, err := filePart(form)
	if err != nil {
		return u, broken(err)
	}
	u.contentType, u.body.Reader = part.Header.Get("Content-Type"), part
	return u, checkType(u.contentType)
}

// partName is the form field of the file. Wire: skygear §2.9.
const partName = "file"

// filePart passes over the extra fields, which come before the file.
func filePart(form *multipart.Reader) (*multipart.Part, error) {
	for {
		part, err := form.NextPart()
		switch {
		case errors.Is(err, io.EOF):
			return nil, fault.New(fault.BadRequest, "files.no_part", "the form has no part %q", partName)
		case err != nil:
			return nil, err
		case part.FormName() == partName:
			return part, nil
		}
	}
}

func checkType(contentType string) error {
	if contentType == "" {
		return fault.Argument("files.no_type", "content-type", "say in Content-Type what the file is; a part of a form has one of its own")
	}
	return nil
}

// sent remembers what went wrong with what the client sends.
type sent struct {
	io.Reader
	err error
}

// Read implements io.Reader.
func (s *sent) Read(b []byte) (int, error) {
	n, err := s.Reader.Read(b)
	if err != nil && !errors.Is(err, io.EOF) {
		s.err = err
	}
	return n, err
}

// blame returns err, or that the client is at fault when it is.
func (s *sent) blame(err error) error {
	if s.err != nil {
		return broken(err)
	}
	return err
}

func broken(err error) error {
	var known *fault.Error
	if errors.As(err, &known) {
		return err
	}
	return fault.Wrap(err, fault.BadRequest, "files.broken", "the upload ended too early, came too slowly, or is no proper form")
}

// paced reads a body from a sender who must keep up.
type paced struct {
	from       io.Reader
	connection *http.ResponseController
	start      time.Time
	limit      int64
	fits       func(int64) error
	patience   time.Duration
	size, seen int64
}

func newPaced(w http.ResponseWriter, from io.Reader, limit int64, fits func(int64) error, patience time.Duration) *paced {
	p := &paced{from: from, connection: http.NewResponseController(w), start: time.Now(), limit: limit, fits: fits, patience: patience}
	p.await()
	return p
}

// await moves on the time at which the connection gives up reading.
func (p *paced) await() {
	allowed := min(p.patience+time.Duration(p.size/slowest)*time.Second, longest)
	_ = p.connection.SetReadDeadline(p.start.Add(allowed)) // what is no connection has none
	p.seen = p.size
}

// Read implements io.Reader.
func (p *paced) Read(b []byte) (int, error) {
	n, err := p.from.Read(b)
	p.size += int64(n)
	if p.size-p.seen >= stride {
		p.await()
	}
	if p.size > p.limit {
		return n, p.fits(p.size)
	}
	return n, err
}
