package s3

import (
	"context"
	"errors"
	"io"

	"github.com/minio/minio-go/v7"
)

// object reads an object from where it stands; nothing is asked of the store before the first Read.
type object struct {
	ctx   context.Context // of who reads
	store *Store
	key   string
	size  int64
	at    int64
	body  io.ReadCloser // from at on; nil before the first Read
}

// Read implements io.Reader.
func (o *object) Read(p []byte) (int, error) {
	if o.at >= o.size {
		return 0, io.EOF
	}
	if o.body == nil {
		var from minio.GetObjectOptions
		if o.at > 0 {
			if err := from.SetRange(o.at, 0); err != nil { // to the end
				return 0, err
			}
		}
		body, _, _, err := o.store.core.GetObject(o.ctx, o.store.bucket, o.key, from)
		if err != nil {
			return 0, unavailable(err)
		}
		o.body = body
	}
	n, err := o.body.Read(p)
	o.at += int64(n)
	if errors.Is(err, io.EOF) && o.at < o.size {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

var errSeek = errors.New("s3: seek before the start")

// Seek implements io.Seeker.
func (o *object) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += o.at
	case io.SeekEnd:
		offset += o.size
	}
	if offset < 0 {
		return 0, errSeek
	}
	if offset != o.at {
		_ = o.Close()
	}
	o.at = offset
	return offset, nil
}

// Close implements io.Closer.
func (o *object) Close() error {
	if o.body == nil {
		return nil
	}
	body := o.body
	o.body = nil
	return body.Close()
}
