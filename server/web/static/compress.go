package static

import (
	"bytes"
	"cmp"
	"context"
	"io"
	"io/fs"
	"math/bits"
	"slices"
	"strings"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// Brotli's best level is worth its time for files that pages wait for.
const (
	brotliBest    = 11
	brotliQuick   = 7
	brotliBestFor = 256 << 10
	minShrinkable = 256 // below, the headers cost more than is saved
)

// compressAll reads every file of the folder once, then compresses what requests bring up.
func (d *Door) compressAll(ctx context.Context) {
	_ = fs.WalkDir(d.root.FS(), ".", func(name string, e fs.DirEntry, err error) error { // what cannot be read is not served either
		switch {
		case ctx.Err() != nil:
			return fs.SkipAll
		case err != nil || name == ".":
			return nil
		case !servable(name) && e.IsDir():
			return fs.SkipDir
		case !servable(name) || e.IsDir():
			return nil
		}
		if f, ok := d.fresh(name); !ok || f == nil {
			d.load(name)
		}
		d.compressQueued(ctx)
		return nil
	})
	for {
		select {
		case <-ctx.Done():
			return
		case f := <-d.queue:
			d.compress(ctx, f)
		}
	}
}

func (d *Door) compressQueued(ctx context.Context) {
	for {
		select {
		case f := <-d.queue:
			d.compress(ctx, f)
		default:
			return
		}
	}
}

// enqueue asks for the variants of f, once. A full queue is asked again when the file is looked at.
func (d *Door) enqueue(f *File) {
	if f.body == nil || !f.shrinks || len(f.body) < minShrinkable || !f.queued.CompareAndSwap(false, true) {
		return
	}
	select {
	case d.queue <- f:
	default:
		f.queued.Store(false)
	}
}

// compress makes the variants of f that save at least a twentieth.
func (d *Door) compress(ctx context.Context, f *File) {
	hash := strings.Trim(f.identity.etag[0], `"`)
	made := []variant{}
	for _, encoding := range []string{"gzip", "zstd", "br"} {
		if ctx.Err() != nil {
			return
		}
		body := bytes.Clone(encode(encoding, f.body)) // the buffer has spare room
		if len(body) > 0 && len(body) < len(f.body)-len(f.body)/20 {
			made = append(made, newVariant(body, hash, encoding))
		}
	}
	slices.SortStableFunc(made, func(a, b variant) int { return cmp.Compare(len(a.body), len(b.body)) })
	d.keep(f, made)
}

// keep gives f its variants, if it is still served and there is room.
func (d *Door) keep(f *File, made []variant) {
	size := int64(0)
	for _, v := range made {
		size += int64(len(v.body))
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.files[f.name] == f && d.held+size <= maxHeld {
		d.held += size
		f.variants.Store(&made)
	}
}

// encode returns nil when the encoder fails; the file is then sent as it is.
func encode(encoding string, body []byte) []byte {
	var buf bytes.Buffer
	switch encoding {
	case "gzip":
		w, err := gzip.NewWriterLevel(&buf, gzip.BestCompression)
		if err != nil || writeAll(w, body) != nil {
			return nil
		}
	case "zstd":
		w, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedBetterCompression), zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(1<<window(body)))
		if err != nil {
			return nil
		}
		return w.EncodeAll(body, nil)
	case "br":
		options := brotli.WriterOptions{Quality: brotliBest, LGWin: window(body)}
		if len(body) > brotliBestFor {
			options.Quality = brotliQuick
		}
		if writeAll(brotli.NewWriterOptions(&buf, options), body) != nil {
			return nil
		}
	}
	return buf.Bytes()
}

// window is the power of two that covers body, within what decoders take everywhere. Encoders allocate
// by it, tens of megabytes for the largest.
func window(body []byte) int { return min(max(bits.Len(uint(len(body))), 16), 22) }

func writeAll(w io.WriteCloser, body []byte) error {
	if _, err := w.Write(body); err != nil {
		return err
	}
	return w.Close()
}
