package pgdump

import (
	"bufio"
	"errors"
	"io"
	"regexp"
	"strings"
)

// Section says what statements are about, as the comment before them does.
type Section struct {
	Name   string
	Type   string // TABLE, TABLE DATA, CONSTRAINT ...
	Schema string // "-" or "" where it is in none
}

// Kind says what a Piece is.
type Kind int

// The kinds of pieces.
const (
	Statements Kind = iota // whole statements of the section
	Setting                // a statement about how the next ones are read, whatever their section
	Copy                   // COPY ... FROM stdin; its rows come from Row
)

// Piece is a part of a script.
type Piece struct {
	Section
	Kind Kind
	Text string
}

// ErrNotDump says that the script has no sections: pg_dump did not write it.
var ErrNotDump = errors.New("this is not what pg_dump writes")

// ErrCut says that the script ends before its end.
var ErrCut = errors.New("the dump ends too early")

// pieceSize is where statements of one section are parted, in bytes: a section may hold all rows of a
// table as statements.
const pieceSize = 256 << 10

var (
	header   = regexp.MustCompile(`^-- (?:Data for )?Name: (.*?); Type: ([A-Z ]+); Schema: (.*?); Owner:`)
	owner    = regexp.MustCompile(`^ALTER .* OWNER TO .*;$`)
	setting  = regexp.MustCompile(`^(?:SET ([a-z_]+) = |SELECT pg_catalog\.set_config\('([a-z_]+)', )`)
	copyFrom = regexp.MustCompile(`^COPY .* FROM stdin;$`)
)

// kept are the settings that say how to read the script.
var kept = map[string]bool{
	"client_encoding": true, "standard_conforming_strings": true, "search_path": true, "check_function_bodies": true, "xmloption": true,
}

const lastLine = "-- PostgreSQL database dump complete"

// Reader reads a script.
type Reader struct {
	in      *bufio.Reader
	state   state
	section Section
	known   bool            // a section has begun
	whole   bool            // the last line was there
	copying bool            // rows come next
	text    strings.Builder // statements that are not delivered yet
	next    *Piece          // comes behind them
	err     error
}

// NewReader returns a Reader of in.
func NewReader(in io.Reader) *Reader { return &Reader{in: bufio.NewReaderSize(in, 1<<20)} }

// Next returns the next piece. Rows of a COPY that were not read are passed over. It fails with io.EOF at
// the end, ErrNotDump, ErrCut and what reading fails with.
func (r *Reader) Next() (Piece, error) {
	for r.copying {
		if _, _, err := r.Row(); err != nil {
			return Piece{}, err
		}
	}
	if p := r.next; p != nil {
		r.next, r.copying = nil, p.Kind == Copy
		return *p, nil
	}
	for r.err == nil {
		line, err := r.line()
		if err != nil {
			r.err = r.end(err)
			break
		}
		if p, ok := r.take(line); ok {
			return p, nil
		}
	}
	if p, ok := r.flush(); ok && errors.Is(r.err, io.EOF) {
		return p, nil
	}
	return Piece{}, r.err
}

// line returns a line without its end.
func (r *Reader) line() (string, error) {
	line, err := r.in.ReadString('\n')
	if errors.Is(err, io.EOF) && line != "" {
		err = nil
	}
	return strings.TrimSuffix(line, "\n"), err
}

func (r *Reader) end(err error) error {
	switch {
	case !errors.Is(err, io.EOF):
		return err
	case !r.known:
		return ErrNotDump
	case !r.whole || r.state != (state{}):
		return ErrCut
	}
	return io.EOF
}

// take adds a line to what has been read, and returns a piece when one is complete.
func (r *Reader) take(line string) (Piece, bool) {
	if r.state == (state{}) {
		if p, ok, done := r.command(strings.TrimSuffix(line, "\r")); done {
			return p, ok
		}
	}
	r.text.WriteString(line)
	r.text.WriteByte('\n')
	r.state.read(line)
	if r.state == (state{}) && r.text.Len() > pieceSize {
		return r.flush()
	}
	return Piece{}, false
}

// command looks at a line where a statement could begin. done says that the line is dealt with.
func (r *Reader) command(line string) (p Piece, ok, done bool) {
	switch {
	case line == lastLine:
		r.whole = true
		return p, false, true
	case strings.HasPrefix(line, `\`), owner.MatchString(line):
		return p, false, true
	case header.MatchString(line):
		p, ok = r.flush()
		m := header.FindStringSubmatch(line)
		r.section, r.known = Section{Name: m[1], Type: m[2], Schema: m[3]}, true
		return p, ok, true
	case strings.HasPrefix(line, "--"):
		return p, false, true
	case copyFrom.MatchString(line):
		p, ok = r.before(Piece{r.section, Copy, line})
		return p, ok, true
	}
	m := setting.FindStringSubmatch(line)
	if m == nil || !strings.HasSuffix(line, ";") {
		return p, false, false
	}
	if !kept[m[1]] && !kept[m[2]] {
		return p, false, true
	}
	p, ok = r.before(Piece{r.section, Setting, line})
	return p, ok, true
}

// before returns what was read so far, and next behind it.
func (r *Reader) before(next Piece) (Piece, bool) {
	if p, ok := r.flush(); ok {
		r.next = &next
		return p, true
	}
	r.copying = next.Kind == Copy
	return next, true
}

func (r *Reader) flush() (Piece, bool) {
	text := r.text.String()
	r.text.Reset()
	return Piece{r.section, Statements, text}, strings.TrimSpace(text) != ""
}

// Row returns the next row of the COPY that Next returned last, as PostgreSQL takes it, or that there are
// no more.
func (r *Reader) Row() (row string, more bool, err error) {
	if !r.copying {
		return "", false, nil
	}
	line, err := r.in.ReadString('\n')
	switch {
	case errors.Is(err, io.EOF):
		return "", false, ErrCut
	case err != nil:
		return "", false, err
	}
	line = strings.TrimSuffix(line, "\n")
	if line == `\.` || line == "\\.\r" {
		r.copying = false
		return "", false, nil
	}
	return line, true, nil
}
