// Package storetest holds what every store of files must do. A store's test calls Run.
package storetest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"strconv"
	"sync"
	"testing"
	"time"

	"crema/server/core/assets"
)

// Part is a size at which stores begin to work differently, in bytes.
const Part = 8 << 20

// Run tests a store that nobody else uses. leftovers counts what is in it beside whole objects.
func Run(t *testing.T, s assets.Store, leftovers func() int) {
	t.Helper()
	for name, test := range map[string]func(*testing.T, assets.Store, func() int){
		"keeps what it is given": keeps, "reads from anywhere": seeks, "leaves nothing of a broken write": breaks,
		"knows what is not there": misses, "removes": removes, "takes many at once": crowds,
	} {
		t.Run(name, func(t *testing.T) { test(t, s, leftovers) })
	}
}

// random is the same n bytes for the same seed.
func random(seed byte, n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{seed}).Read(b)
	return b
}

// slowly hides from a reader's user everything but Read, and gives little at once.
type slowly struct{ io.Reader }

func (s slowly) Read(p []byte) (int, error) { return s.Reader.Read(p[:min(len(p), 10_007)]) }

func write(t *testing.T, s assets.Store, key string, body []byte) {
	t.Helper()
	n, err := s.Write(t.Context(), key, slowly{bytes.NewReader(body)})
	if err != nil || n != int64(len(body)) {
		t.Fatalf("write of %d bytes: %d, %v", len(body), n, err)
	}
}

func read(t *testing.T, s assets.Store, key string) []byte {
	t.Helper()
	f, at, err := s.Open(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	b, err := io.ReadAll(f)
	if age := time.Since(at); err != nil || age > time.Hour || age < -time.Hour {
		t.Errorf("%v, stored at %v", err, at)
	}
	return b
}

func keeps(t *testing.T, s assets.Store, leftovers func() int) {
	for i, size := range []int{1, 70_000, Part - 1, Part, Part + 1, 2*Part + Part/2} {
		key, body := "ab/size-"+strconv.Itoa(size), random(byte(i), size)
		write(t, s, key, body)
		if got := read(t, s, key); sha256.Sum256(got) != sha256.Sum256(body) {
			t.Errorf("of %d bytes came %d back, or others", size, len(got))
		}
	}
	if n := leftovers(); n != 0 {
		t.Errorf("%d things are left beside the objects", n)
	}
}

func seeks(t *testing.T, s assets.Store, _ func() int) {
	body := random(7, 300_000)
	write(t, s, "cd/seek", body)
	f, _, err := s.Open(t.Context(), "cd/seek")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	if n, err := f.Seek(0, io.SeekEnd); n != int64(len(body)) || err != nil {
		t.Errorf("the end is at %d, %v", n, err)
	}
	if n, err := f.Read(make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) {
		t.Errorf("at the end: %d, %v", n, err)
	}
	for _, at := range []int64{0, 100_000, 5, 299_999, 299_990} {
		if n, err := f.Seek(at, io.SeekStart); n != at || err != nil {
			t.Fatalf("seek: %d, %v", n, err)
		}
		want := body[at:min(at+20_000, int64(len(body)))]
		got := make([]byte, len(want))
		if _, err := io.ReadFull(f, got); err != nil || !bytes.Equal(got, want) {
			t.Errorf("from %d: %v", at, err)
		}
	}
	if _, err := f.Seek(-1, io.SeekStart); err == nil {
		t.Error("seek before the start")
	}
}

var errSender = errors.New("the sender went away")

// failing gives some bytes and then an error. io.ErrUnexpectedEOF is what a body says that breaks off.
func failing(n int, why error) io.Reader {
	return io.MultiReader(bytes.NewReader(make([]byte, n)), errorReader{why})
}

type errorReader struct{ error }

func (e errorReader) Read([]byte) (int, error) { return 0, e.error }

func breaks(t *testing.T, s assets.Store, leftovers func() int) {
	for _, size := range []int{0, 100, Part, 2*Part + 100} {
		for _, why := range []error{errSender, io.ErrUnexpectedEOF} {
			key := "ef/broken-" + strconv.Itoa(size) + why.Error()[:2]
			if _, err := s.Write(t.Context(), key, failing(size, why)); !errors.Is(err, why) {
				t.Errorf("after %d bytes: %v", size, err)
			}
			if _, _, err := s.Open(t.Context(), key); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("after %d bytes something can be read: %v", size, err)
			}
		}
	}
	// A request that is given up takes its context along.
	ctx, cancel := context.WithCancel(t.Context())
	body := io.MultiReader(bytes.NewReader(make([]byte, Part+100)), cancelling(cancel), errorReader{errSender})
	if _, err := s.Write(ctx, "ef/cancelled", body); err == nil {
		t.Error("a write whose context ended")
	}
	if n := leftovers(); n != 0 {
		t.Errorf("%d things are left", n)
	}
}

type cancelling context.CancelFunc

func (c cancelling) Read([]byte) (int, error) { c(); return 0, io.EOF }

func misses(t *testing.T, s assets.Store, _ func() int) {
	for _, key := range []string{"no/thing", "nothing", "ab", "ab/size-1/below", "x y/ü?#%.txt"} {
		if f, _, err := s.Open(t.Context(), key); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%q: %v %v", key, f, err)
		}
	}
}

func removes(t *testing.T, s assets.Store, _ func() int) {
	write(t, s, "12/gone", []byte("x"))
	for range 2 {
		if err := s.Remove(t.Context(), "12/gone"); err != nil {
			t.Error(err)
		}
	}
	if _, _, err := s.Open(t.Context(), "12/gone"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("it is still there: %v", err)
	}
	if err := s.Remove(t.Context(), "34/never-there"); err != nil {
		t.Error(err)
	}
}

func crowds(t *testing.T, s assets.Store, leftovers func() int) {
	var all sync.WaitGroup
	for i := range byte(8) {
		all.Go(func() {
			key, body := "56/crowd-"+strconv.Itoa(int(i)), random(i, 200_000)
			if _, err := s.Write(t.Context(), key, bytes.NewReader(body)); err != nil {
				t.Error(err)
				return
			}
			f, _, err := s.Open(t.Context(), key)
			if err != nil {
				t.Error(err)
				return
			}
			defer func() { _ = f.Close() }()
			if got, err := io.ReadAll(f); err != nil || !bytes.Equal(got, body) {
				t.Errorf("%s: %d bytes, %v", key, len(got), err)
			}
		})
	}
	all.Wait()
	if n := leftovers(); n != 0 {
		t.Errorf("%d things are left", n)
	}
}
