package proc

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"crema/server/base/fault"
)

// Stream says where a line was written.
type Stream string

// The streams of a child.
const (
	Stdout Stream = "stdout"
	Stderr Stream = "stderr"
)

const (
	maxLine   = 64 << 10 // of a line, in bytes; the rest is cut off
	maxRate   = 500      // lines a second
	keepLines = 20
	keepBytes = 4 << 10 // of all kept lines
)

// Output reads what a child prints.
type Output struct {
	emit    func(Stream, string)
	readers sync.WaitGroup
	ends    []*os.File // ours
	theirs  []*os.File // for the child, in the order of Streams

	mu      sync.Mutex
	last    []string
	second  time.Time
	lines   int
	dropped int
}

// OpenOutput makes a child's stdout and stderr. emit gets each line, from two goroutines; nil: lines are
// only kept for Last.
func OpenOutput(emit func(Stream, string)) (*Output, error) {
	o := &Output{emit: emit}
	for _, s := range []Stream{Stdout, Stderr} {
		r, w, err := os.Pipe()
		if err != nil {
			o.CloseTheirs()
			o.Close()
			return nil, fault.Wrap(err, fault.Internal, "proc.no_pipe", "no pipe for a child process could be made")
		}
		o.ends, o.theirs = append(o.ends, r), append(o.theirs, w)
		o.readers.Go(func() { o.read(s, r) })
	}
	return o, nil
}

// Theirs returns the child's stdout and stderr.
func (o *Output) Theirs() []*os.File { return o.theirs }

// CloseTheirs closes our copies of the child's ends, once the child has them.
func (o *Output) CloseTheirs() {
	for _, f := range o.theirs {
		_ = f.Close()
	}
	o.theirs = nil
}

// Finish waits until everything has been read, at most for d: a process that the child left behind may
// still hold the pipes. Then it closes them.
func (o *Output) Finish(d time.Duration) {
	t := time.AfterFunc(d, o.Close)
	defer t.Stop()
	o.readers.Wait()
	o.Close()
}

// Close ends the reading.
func (o *Output) Close() {
	for _, f := range o.ends {
		_ = f.Close()
	}
}

// Last returns the last lines, those of stderr if there are any, in one text.
func (o *Output) Last() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return strings.Join(o.last, "\n")
}

// read takes lines until the pipe ends, however long they are.
func (o *Output) read(s Stream, r io.Reader) {
	b := bufio.NewReaderSize(r, maxLine)
	for {
		line, err := b.ReadSlice('\n')
		if len(line) > 0 {
			o.line(s, strings.ToValidUTF8(strings.TrimRight(string(line), "\r\n"), "\uFFFD"))
		}
		for errors.Is(err, bufio.ErrBufferFull) { // what is beyond the limit is skipped
			_, err = b.ReadSlice('\n')
		}
		if err != nil {
			return
		}
	}
}

func (o *Output) line(s Stream, text string) {
	more, pass := o.admit(s, text)
	if o.emit == nil {
		return
	}
	if more > 0 {
		o.emit(Stderr, fmt.Sprintf("(%d lines were left out: at most %d a second are kept)", more, maxRate))
	}
	if pass {
		o.emit(s, text)
	}
}

// admit counts a line. It returns how many were dropped before a new second began, and whether this one
// may pass.
func (o *Output) admit(s Stream, text string) (dropped int, pass bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if now := time.Now(); now.Sub(o.second) >= time.Second {
		dropped, o.dropped = o.dropped, 0
		o.second, o.lines = now, 0
	}
	if o.lines++; o.lines > maxRate {
		o.dropped++
	}
	if s == Stderr {
		o.keep(text)
	}
	return dropped, o.lines <= maxRate
}

func (o *Output) keep(text string) {
	o.last = append(o.last, text[:min(len(text), keepBytes/4)])
	size := 0
	for i := len(o.last) - 1; i >= 0; i-- {
		if size += len(o.last[i]) + 1; size > keepBytes || len(o.last)-i > keepLines {
			o.last = o.last[i+1:]
			return
		}
	}
}
