package telemetry

import (
	"io"
	"sync"
	"time"
)

const (
	flushAfter = 10 * time.Millisecond
	flushSize  = 32 << 10
)

// sink gathers lines that come in quick succession into one write. The first line after a pause is
// written at once, so a quiet server's log is never late.
type sink struct {
	mu      sync.Mutex
	w       io.Writer
	buf     []byte
	last    time.Time // of the last write
	waiting bool      // a flush is scheduled
	clock   clock
}

// Write implements io.Writer for one whole line.
func (s *sink) Write(line []byte) (int, error) {
	s.add(func(b []byte) []byte { return append(b, line...) })
	return len(line), nil
}

// add writes one whole line, which line appends.
func (s *sink) add(line func([]byte) []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.buf = line(s.buf)
	switch {
	case len(s.buf) >= flushSize:
		s.write(time.Now())
	case !s.waiting:
		if now := time.Now(); now.Sub(s.last) >= flushAfter {
			s.write(now)
			break
		}
		s.waiting = true
		time.AfterFunc(flushAfter, s.Flush)
	}
}

// Flush writes what waits.
func (s *sink) Flush() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waiting = false
	if len(s.buf) > 0 {
		s.write(time.Now())
	}
}

func (s *sink) write(now time.Time) {
	_, _ = s.w.Write(s.buf) // a log that cannot be written has nowhere to complain
	s.buf = s.buf[:0]
	s.last = now
}
