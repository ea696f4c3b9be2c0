package s3test

import (
	"crema/server/base/fault"
	"crema/server/core/assets/storetest"
	"testing"
)

func TestStore(t *testing.T) {
	t.Parallel()
	g := start(t)
	storetest.Run(t, g.store(t, bucket, secretKey), func() int { return g.unfinished(t) })
}

func TestStore_CheckTellsMistakesFromFailures(t *testing.T) {
	t.Parallel()
	g := start(t)
	if err := g.store(t, bucket, secretKey).Check(t.Context()); err != nil {
		t.Error(err)
	}
	if err := g.store(t, "no-such-bucket", secretKey).Check(t.Context()); !fault.Is(err, "s3.no_bucket") {
		t.Errorf("no bucket: %v", err)
	}
	if err := g.store(t, bucket, "another-secret").Check(t.Context()); !fault.Is(err, "s3.refused") {
		t.Errorf("a wrong key: %v", err)
	}
	g.exit()
	if err := g.store(t, bucket, secretKey).Check(t.Context()); !fault.Is(err, "s3.unavailable") {
		t.Errorf("nobody there: %v", err)
	}
}
