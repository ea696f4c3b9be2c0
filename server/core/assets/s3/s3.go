// Package s3 keeps objects in a bucket of an S3-compatible store. Bytes pass through the server in both
// directions, so the bucket stays private and needs no rules for browsers. An upload holds one part in
// memory, and nothing can be read before all of it has come.
package s3

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"crema/server/base/fault"
)

// partSize is what is sent at once, in bytes. A store takes 10,000 parts, and none under 5 MiB but the last.
const partSize = 8 << 20

const (
	tries      = 3 // of one request
	abortGrace = 10 * time.Second
	// What a bucket holds is bytes for everybody but us, in case somebody makes it public.
	opaque = "application/octet-stream"
)

// Config names a bucket.
type Config struct {
	Endpoint  string // URL without a path; "" is Amazon's
	Region    string
	Bucket    string
	AccessKey string
	SecretKey string
}

// Store is a bucket. It is safe for concurrent use.
type Store struct {
	core   minio.Core
	bucket string
}

// New returns the store. It talks to nobody yet. Reason: s3.bad_config.
func New(c Config) (*Store, error) {
	host, secure := "s3.amazonaws.com", true
	if c.Endpoint != "" {
		u, err := url.Parse(c.Endpoint)
		if err != nil || u.Host == "" {
			return nil, fault.New(fault.NotConfigured, "s3.bad_config", "the address of the S3 store must look like https://s3.example")
		}
		host, secure = u.Host, u.Scheme == "https"
	}
	client, err := minio.New(host, &minio.Options{
		Creds: credentials.NewStaticV4(c.AccessKey, c.SecretKey, ""), Secure: secure, Region: c.Region, MaxRetries: tries,
	})
	if err != nil {
		return nil, fault.Wrap(err, fault.NotConfigured, "s3.bad_config", "the address or the region of the S3 store is not right")
	}
	return &Store{core: minio.Core{Client: client}, bucket: c.Bucket}, nil
}

// Check asks whether the bucket can be used. Reasons: s3.no_bucket and s3.refused for what the
// configuration must mend, s3.unavailable for what may pass.
func (s *Store) Check(ctx context.Context) error {
	found, err := s.core.BucketExists(ctx, s.bucket)
	switch {
	case err == nil && !found:
		return fault.New(fault.NotConfigured, "s3.no_bucket", "the S3 store has no bucket %q; make it, or set ASSET_STORE_BUCKET", s.bucket)
	case err != nil && refused(err):
		return fault.Wrap(err, fault.NotConfigured, "s3.refused", "the S3 store refuses our keys for bucket %q", s.bucket)
	}
	return unavailable(err)
}

func refused(err error) bool {
	status := minio.ToErrorResponse(err).StatusCode
	return status == http.StatusForbidden || status == http.StatusUnauthorized
}

func unavailable(err error) error {
	if err == nil {
		return nil
	}
	return fault.Wrap(err, fault.Unavailable, "s3.unavailable", "the store of files does not answer as it should; try again later")
}

// Write implements assets.Store.
func (s *Store) Write(ctx context.Context, key string, r io.Reader) (int64, error) {
	p := &part{from: r}
	if err := p.fill(); err != nil {
		return 0, err
	}
	if p.last {
		size := int64(len(p.bytes))
		_, err := s.core.PutObject(ctx, s.bucket, key, bytes.NewReader(p.bytes), size, "", "", minio.PutObjectOptions{ContentType: opaque})
		return size, unavailable(err)
	}
	id, err := s.core.NewMultipartUpload(ctx, s.bucket, key, minio.PutObjectOptions{ContentType: opaque})
	if err != nil {
		return 0, unavailable(err)
	}
	size, err := s.writeParts(ctx, key, id, p)
	if err != nil {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), abortGrace)
		defer cancel()
		_ = s.core.AbortMultipartUpload(ctx, s.bucket, key, id) // else Remove does
	}
	return size, err
}

// part is the next bytes of a file.
type part struct {
	from  io.Reader
	bytes []byte
	last  bool // nothing follows
}

// fill reads the next part. Its memory grows with what comes, so that a sender who has sent little costs
// little.
func (p *part) fill() error {
	p.bytes = p.bytes[:0]
	for len(p.bytes) < partSize {
		if len(p.bytes) == cap(p.bytes) {
			p.bytes = slices.Grow(p.bytes, min(max(cap(p.bytes), 64<<10), partSize-len(p.bytes)))
		}
		n, err := p.from.Read(p.bytes[len(p.bytes):min(cap(p.bytes), partSize)])
		p.bytes = p.bytes[:len(p.bytes)+n]
		if err != nil {
			if p.last = errors.Is(err, io.EOF); p.last {
				return nil
			}
			return err
		}
	}
	return nil
}

// writeParts sends p and what follows it.
func (s *Store) writeParts(ctx context.Context, key, id string, p *part) (size int64, err error) {
	var sent []minio.CompletePart
	for len(p.bytes) > 0 {
		n := int64(len(p.bytes))
		done, err := s.core.PutObjectPart(ctx, s.bucket, key, id, len(sent)+1, bytes.NewReader(p.bytes), n, minio.PutObjectPartOptions{})
		if err != nil {
			return size, unavailable(err)
		}
		size += n
		sent = append(sent, minio.CompletePart{PartNumber: done.PartNumber, ETag: done.ETag})
		if p.last {
			break
		}
		if err := p.fill(); err != nil {
			return size, err
		}
	}
	_, err = s.core.CompleteMultipartUpload(ctx, s.bucket, key, id, sent, minio.PutObjectOptions{})
	return size, unavailable(err)
}

// Open implements assets.Store. The object is read with ctx.
func (s *Store) Open(ctx context.Context, key string) (io.ReadSeekCloser, time.Time, error) {
	info, err := s.core.StatObject(ctx, s.bucket, key, minio.StatObjectOptions{})
	switch minio.ToErrorResponse(err).StatusCode {
	case http.StatusNotFound, http.StatusBadRequest: // none is of such a name
		return nil, time.Time{}, fs.ErrNotExist
	}
	if err != nil {
		return nil, time.Time{}, unavailable(err)
	}
	return &object{ctx: ctx, store: s, key: key, size: info.Size}, info.LastModified, nil
}

// Remove implements assets.Store.
func (s *Store) Remove(ctx context.Context, key string) error {
	err := s.core.RemoveIncompleteUpload(ctx, s.bucket, key)
	if err == nil {
		err = s.core.RemoveObject(ctx, s.bucket, key, minio.RemoveObjectOptions{})
	}
	return unavailable(err)
}
