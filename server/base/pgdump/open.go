package pgdump

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"

	"crema/server/base/fault"
)

// File is a dump as a script. What goes wrong in between is an error of Read.
type File struct {
	io.Reader
	close func()
}

// Close ends what works for it.
func (f *File) Close() { f.close() }

// Program finds pg_restore, which is needed for every format but plain.
type Program func() (path string, err error)

// Open opens what pg_dump has written in the format plain, custom or tar, with or without gzip, or a
// folder in its format directory; the name "-" is stdin. Reasons: pgdump.unreadable (Invalid), and while
// it is read pgdump.restore (BadRequest).
func Open(ctx context.Context, name string, stdin io.Reader, restore Program) (*File, error) {
	if name == "-" {
		return read(ctx, stdin, func() {}, restore)
	}
	info, err := os.Stat(name)
	switch {
	case err != nil:
		return nil, fault.Wrap(err, fault.Invalid, "pgdump.unreadable", "the dump %s cannot be read", name)
	case info.IsDir():
		return run(ctx, nil, func() {}, restore, name)
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, fault.Wrap(err, fault.Invalid, "pgdump.unreadable", "the dump %s cannot be read", name)
	}
	d, err := read(ctx, f, func() { _ = f.Close() }, restore)
	if err != nil {
		_ = f.Close()
	}
	return d, err
}

// tarMagic stands at tarMagicAt in every file of tar.
const (
	tarMagic   = "ustar"
	tarMagicAt = 257
)

// read looks at how the dump begins.
func read(ctx context.Context, in io.Reader, end func(), restore Program) (*File, error) {
	r := bufio.NewReaderSize(in, 1<<16)
	begin, _ := r.Peek(tarMagicAt + len(tarMagic)) // a shorter one has what it has
	switch {
	case bytes.HasPrefix(begin, []byte{0x1f, 0x8b}):
		z, err := gzip.NewReader(r)
		if err != nil {
			return nil, fault.Wrap(err, fault.BadRequest, "pgdump.unreadable", "the dump begins like gzip, but cannot be unpacked")
		}
		return read(ctx, z, end, restore)
	case bytes.HasPrefix(begin, []byte("PGDMP")), len(begin) == tarMagicAt+len(tarMagic) && string(begin[tarMagicAt:]) == tarMagic:
		return run(ctx, r, end, restore)
	}
	return &File{Reader: r, close: end}, nil
}

// run lets pg_restore turn an archive into a script. It connects to nothing.
func run(ctx context.Context, in io.Reader, end func(), restore Program, args ...string) (*File, error) {
	program, err := restore()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, program, append([]string{"--no-owner", "--no-privileges", "--no-tablespaces", "--file=-"}, args...)...)
	cmd.Stdin = in
	said := &tail{}
	cmd.Stderr = said
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		return nil, fault.Wrap(err, fault.NotConfigured, "pgdump.restore", "pg_restore cannot be started")
	}
	script := &restoreOutput{out: out, cmd: cmd, said: said}
	return &File{Reader: script, close: func() { script.stop(); end() }}, nil
}

// restoreOutput is what pg_restore writes. Its failure is an error of Read, so that half a dump is never
// taken for a whole one.
type restoreOutput struct {
	out   io.Reader
	cmd   *exec.Cmd
	said  *tail
	ended bool
}

// Read implements io.Reader.
func (r *restoreOutput) Read(p []byte) (int, error) {
	if r.ended {
		return 0, io.EOF
	}
	n, err := r.out.Read(p)
	if !errors.Is(err, io.EOF) {
		return n, err
	}
	r.ended = true
	if err := r.cmd.Wait(); err != nil {
		return n, fault.Wrap(err, fault.BadRequest, "pgdump.restore", "pg_restore cannot read the dump: %s; nothing was changed", r.said)
	}
	return n, io.EOF
}

func (r *restoreOutput) stop() {
	if !r.ended {
		r.ended = true
		_ = r.cmd.Process.Kill()
		_ = r.cmd.Wait()
	}
}

// tail keeps the end of what is written to it.
type tail struct{ text []byte }

// Write implements io.Writer.
func (t *tail) Write(p []byte) (int, error) {
	t.text = append(t.text, p...)
	t.text = t.text[max(0, len(t.text)-1000):]
	return len(p), nil
}

// String returns it in one line.
func (t *tail) String() string { return strings.Join(strings.Fields(string(t.text)), " ") }
