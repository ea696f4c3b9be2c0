package s3test

import (
	"context"
	"crema/server/core/assets/s3"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// gateway is a running S3 server.
type gateway struct {
	url  string
	data string // the folder whose folders are its buckets
	exit func() // ends it without any warning
}

const (
	accessKey = "test-access"
	secretKey = "test-secret-key"
	bucket    = "beans"
)

// program builds the gateway once.
var program = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "crema-s3-")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "versitygw")
	out, err := exec.Command("go", "build", "-o", path, "github.com/versity/versitygw/cmd/versitygw").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%w\n%s", err, out)
	}
	return path, nil
})

// start runs a gateway with one bucket on a folder of its own and waits until it answers.
func start(t *testing.T) *gateway {
	t.Helper()
	path, err := program()
	if err != nil {
		t.Skipf("the S3 server cannot be built here: %v", err)
	}
	g := &gateway{data: filepath.Join(t.TempDir(), "data")}
	meta := filepath.Join(t.TempDir(), "meta")
	if err := errors.Join(os.MkdirAll(filepath.Join(g.data, bucket), 0o755), os.MkdirAll(meta, 0o755)); err != nil {
		t.Fatal(err)
	}
	address := freeAddress(t)
	g.url = "http://" + address
	ctx, stop := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, path, "--port", address, "--access", accessKey, "--secret", secretKey, "--quiet",
		"posix", "--sidecar", meta, g.data)
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait()
		close(ended)
	}()
	g.exit = func() {
		stop()
		<-ended
	}
	t.Cleanup(g.exit)
	for late := time.Now().Add(30 * time.Second); ; {
		err := g.store(t, bucket, secretKey).Check(t.Context())
		if err == nil {
			return g
		}
		select {
		case <-ended:
			text, _ := os.ReadFile(log.Name())
			t.Fatalf("the S3 server ended: %s", text)
		case <-time.After(20 * time.Millisecond):
		}
		if time.Now().After(late) {
			t.Fatalf("the S3 server does not answer: %v", err)
		}
	}
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

func (g *gateway) store(t *testing.T, bucket, secret string) *s3.Store {
	t.Helper()
	s, err := s3.New(s3.Config{Endpoint: g.url, Region: "us-east-1", Bucket: bucket, AccessKey: accessKey, SecretKey: secret})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// unfinished counts the parts of uploads that have not ended.
func (g *gateway) unfinished(t *testing.T) (n int) {
	t.Helper()
	err := filepath.WalkDir(filepath.Join(g.data, bucket, ".sgwtmp"), func(_ string, e os.DirEntry, err error) error {
		if os.IsNotExist(err) {
			return nil
		}
		if err == nil && !e.IsDir() {
			n++
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// env is what a server needs to use the gateway.
func (g *gateway) env(bucket, secret string) []string {
	return []string{
		"ASSET_STORE=s3", "ASSET_STORE_S3_ENDPOINT=" + g.url, "ASSET_STORE_BUCKET=" + bucket,
		"ASSET_STORE_ACCESS_KEY=" + accessKey, "ASSET_STORE_SECRET_KEY=" + secret,
	}
}
