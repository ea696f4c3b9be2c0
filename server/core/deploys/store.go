package deploys

import (
	"bytes"
	"context"
	"io/fs"
	"slices"
	"time"

	"crema/server/base/fault"
	"crema/server/base/pg"
)

// partSize is how much of a file one row holds.
const partSize = 1 << 20

const (
	sqlUse = `UPDATE app._deploy_blob SET used_at = now() WHERE hash = ANY($1) RETURNING hash`

	sqlAddBlob = `INSERT INTO app._deploy_blob (hash, size) VALUES ($1, $2) ON CONFLICT (hash) DO NOTHING`

	sqlAddPart = `INSERT INTO app._deploy_part (hash, part, body) VALUES ($1, $2, $3)`

	sqlBody = `SELECT body FROM app._deploy_part WHERE hash = $1 ORDER BY part`

	sqlAddVersion = `INSERT INTO app._deploy_version (digest, made_by) VALUES ($1, $2) RETURNING id`

	// A size is the content's own, whatever was said of it; 0 where there is none fails by its key.
	sqlAddFiles = `
INSERT INTO app._deploy_file (version, path, hash, size, mode)
SELECT $1, f.path, f.hash, coalesce(b.size, 0), f.mode
FROM unnest($2::text[], $3::bytea[], $4::int[]) AS f (path, hash, mode) LEFT JOIN app._deploy_blob b ON b.hash = f.hash`

	sqlTotal = `SELECT coalesce(sum(size), 0)::bigint FROM app._deploy_file WHERE version = $1`

	sqlFiles = `SELECT path, hash, size, mode FROM app._deploy_file WHERE version = $1 ORDER BY path`

	sqlVersion = `SELECT id, digest, made_by, made_at FROM app._deploy_version WHERE id = $1`

	sqlWasLive = `SELECT EXISTS (SELECT FROM app._deploy_release WHERE version = $1)`

	sqlVersions = `
SELECT v.id, v.digest, v.made_by, v.made_at, coalesce((SELECT version = v.id FROM app._deploy_release ORDER BY seq DESC LIMIT 1), false) AS live
FROM app._deploy_version v WHERE EXISTS (SELECT FROM app._deploy_release r WHERE r.version = v.id) ORDER BY v.id DESC LIMIT 100`

	sqlLive = `SELECT seq, version FROM app._deploy_release ORDER BY seq DESC LIMIT 1`

	sqlRelease = `INSERT INTO app._deploy_release (version, reason, made_by) VALUES ($1, $2, $3) RETURNING seq`

	sqlBefore = `SELECT version FROM app._deploy_release WHERE version < $1 ORDER BY version DESC LIMIT 1`

	// Before the first release the server's own folder was live. Releases that were forgotten make it look younger.
	sqlReplaced = `
SELECT version, max(replaced_at) AS replaced_at
FROM (SELECT version, lead(made_at) OVER (ORDER BY seq) AS replaced_at
      FROM (SELECT seq, version, made_at FROM app._deploy_release UNION ALL SELECT 0, NULL, '-infinity') r) r
WHERE replaced_at > $1 GROUP BY version ORDER BY 2 DESC`

	sqlNotify = `SELECT pg_notify($1, $2)`

	sqlAddUpload = `INSERT INTO app._deploy_upload (id, made_by) VALUES ($1, $2)`

	sqlExpected = `
SELECT made_by FROM app._deploy_upload WHERE id = $1 AND version IS NULL AND NOT taken AND made_at > now() - interval '1 hour'`

	sqlReceived = `UPDATE app._deploy_upload SET version = $2, problem = $3 WHERE id = $1 AND version IS NULL AND NOT taken`

	sqlUpload = `SELECT version, problem FROM app._deploy_upload WHERE id = $1 AND made_by = $2`

	sqlTake = `UPDATE app._deploy_upload SET taken = true, made_at = clock_timestamp() WHERE id = $1`

	sqlTaken = `
SELECT version FROM app._deploy_upload WHERE made_by = $1 AND taken AND version IS NOT NULL ORDER BY made_at DESC LIMIT 1`

	sqlAddJob = `INSERT INTO app._deploy_job (id, made_by) VALUES ($1, $2)`

	sqlSay = `UPDATE app._deploy_job SET log = log || $2, beat_at = now() WHERE id = $1`

	sqlEnd = `UPDATE app._deploy_job SET state = $2 WHERE id = $1 AND state = 'running'`

	// A change of a secret makes nothing live that was not, so nothing is older than it.
	sqlSuperseded = `
SELECT EXISTS (SELECT FROM app._deploy_job mine
  JOIN app._deploy_job j ON j.made_at > mine.made_at
  JOIN app._deploy_release r ON r.seq = j.release AND r.reason = ANY ($2)
  WHERE mine.id = $1)`

	sqlLockReleases = `LOCK TABLE app._deploy_release IN SHARE ROW EXCLUSIVE MODE`

	sqlReleased = `UPDATE app._deploy_job SET release = $2 WHERE id = $1 AND state = 'running'`

	// It waits for a commit of which the answer was lost.
	sqlReleaseOf = `SELECT coalesce(release, 0) FROM app._deploy_job WHERE id = $1 FOR UPDATE`

	sqlJob = `
SELECT id, state, log, state = 'running' AND beat_at < now() - interval '30 seconds' AS lost FROM app._deploy_job WHERE id = $1`

	sqlEndLost = `
UPDATE app._deploy_job SET state = CASE WHEN release IS NULL THEN 'failed' ELSE 'success' END,
  log = log || CASE WHEN release IS NULL THEN E'failed: the server that worked on this has ended; run the same command again\n'
    ELSE E'live, though the server that worked on this has ended\n' END
WHERE state = 'running' AND beat_at < now() - interval '30 seconds'`

	sqlLastJob = `SELECT id FROM app._deploy_job WHERE made_by = $1 ORDER BY made_at DESC LIMIT 1`

	sqlForgetUploads = `DELETE FROM app._deploy_upload WHERE made_at < now() - interval '1 day'`

	sqlForgetJobs = `DELETE FROM app._deploy_job WHERE made_at < now() - interval '30 days' OR state <> 'running' AND id NOT IN (
  SELECT id FROM app._deploy_job ORDER BY made_at DESC LIMIT 50)`

	sqlForgetReleases = `
DELETE FROM app._deploy_release WHERE seq NOT IN (
  SELECT max(seq) FROM app._deploy_release GROUP BY version ORDER BY max(seq) DESC LIMIT $1)
RETURNING coalesce(version, 0)`

	sqlForgetVersions = `
DELETE FROM app._deploy_version v WHERE (made_at < now() - $1 * interval '1 second' OR id = ANY($2))
  AND NOT EXISTS (SELECT FROM app._deploy_release r WHERE r.version = v.id)`

	sqlForgetBlobs = `
DELETE FROM app._deploy_blob b WHERE used_at < now() - $1 * interval '1 second'
  AND NOT EXISTS (SELECT FROM app._deploy_file f WHERE f.hash = b.hash)`

	sqlDigests = `
SELECT digest FROM app._deploy_version v WHERE EXISTS (SELECT FROM app._deploy_release r WHERE r.version = v.id)`

	sqlSecrets = `SELECT name, sealed, changed_at FROM app._secret ORDER BY name`

	sqlSetSecret = `
INSERT INTO app._secret (name, sealed) VALUES ($1, $2)
ON CONFLICT (name) DO UPDATE SET sealed = excluded.sealed, changed_at = now()`

	sqlHasSecret = `SELECT EXISTS (SELECT FROM app._secret WHERE name = $1)`

	sqlDeleteSecret = `DELETE FROM app._secret WHERE name = $1`
)

// release is a row of _deploy_release.
type release struct {
	Seq     int64  `db:"seq"`
	Version *int64 `db:"version"`
}

// replaced is a version that was live.
type replaced struct {
	Version *int64    `db:"version"`
	At      time.Time `db:"replaced_at"`
}

type store struct {
	db      *pg.DB
	channel string
}

// keep stores a content, whole or not at all.
func (s store) keep(ctx context.Context, hash, body []byte) error {
	return s.db.Tx(ctx, func(ctx context.Context, tx *pg.Tx) error {
		n, err := tx.Exec(ctx, sqlAddBlob, hash, len(body))
		if err != nil || n == 0 {
			return err
		}
		for i := 0; i*partSize < len(body); i++ {
			part := body[i*partSize : min((i+1)*partSize, len(body))]
			if _, err := tx.Exec(ctx, sqlAddPart, hash, i, part); err != nil {
				return err
			}
		}
		return nil
	})
}

func (s store) body(ctx context.Context, hash []byte) ([]byte, error) {
	var all bytes.Buffer
	err := s.db.Each(ctx, sqlBody, []any{hash}, func(r pg.Row) error {
		var part []byte
		err := r.Scan(&part)
		all.Write(part)
		return err
	})
	return all.Bytes(), err
}

// addVersion stores the list of a version's files, unless they have more than most bytes.
func (s store) addVersion(ctx context.Context, digest, by string, files []File, most int64) (id int64, err error) {
	paths, hashes, modes := make([]string, len(files)), make([][]byte, len(files)), make([]int64, len(files))
	for i, f := range files {
		paths[i], hashes[i], modes[i] = f.Path, f.Hash, int64(f.Mode)
	}
	err = s.db.Tx(ctx, func(ctx context.Context, tx *pg.Tx) error {
		if err := tx.Get(ctx, &id, sqlAddVersion, digest, by); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, sqlAddFiles, id, pg.Array(paths), pg.Array(hashes), pg.Array(modes)); err != nil {
			return err
		}
		var total int64
		err := tx.Get(ctx, &total, sqlTotal, id)
		if err == nil && total > most {
			err = fault.New(fault.TooLarge, "archive.too_large", "all files together have at most %d MB", most>>20)
		}
		return err
	})
	return id, err
}

func (s store) files(ctx context.Context, version int64) (files []File, err error) {
	err = s.db.Each(ctx, sqlFiles, []any{version}, func(r pg.Row) error {
		var f File
		var mode int64
		err := r.Scan(&f.Path, &f.Hash, &f.Size, &mode)
		f.Mode = fs.FileMode(mode)
		files = append(files, f)
		return err
	})
	return files, err
}

// release makes a version live, for all servers at once, and notes so with the job. A job that others have given up
// makes nothing live any more: its operator has been told so.
func (s store) release(ctx context.Context, version *int64, t task, failpoint func(string)) (seq int64, err error) {
	err = s.db.Tx(ctx, func(ctx context.Context, tx *pg.Tx) error {
		if err := inOrder(ctx, tx, t); err != nil {
			return err
		}
		if err := t.secret.store(ctx, tx); err != nil {
			return err
		}
		err := tx.Get(ctx, &seq, sqlRelease, version, t.reason, t.by)
		if fault.Is(err, "pg.foreign_key") {
			err = fault.New(fault.NotFound, "deploys.no_version", "the version has just been forgotten, since ten others were live after it; deploy it again")
		}
		if err != nil {
			return err
		}
		n, err := tx.Exec(ctx, sqlReleased, t.job, seq)
		if err == nil && n == 0 {
			err = fault.New(fault.Unavailable, "deploys.given_up", "this server was away too long; run the same command again")
		}
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, sqlNotify, s.channel, "")
		failpoint("deploy-releasing")
		return err
	})
	return seq, err
}

// inOrder refuses a job when one that was begun later has made its version live already.
func inOrder(ctx context.Context, tx *pg.Tx, t task) error {
	ordered := []string{deployed, rolledBack}
	if !slices.Contains(ordered, t.reason) {
		return nil
	}
	if _, err := tx.Exec(ctx, sqlLockReleases); err != nil {
		return err
	}
	var superseded bool
	err := tx.Get(ctx, &superseded, sqlSuperseded, t.job, pg.Array(ordered))
	if err == nil && superseded {
		err = fault.New(fault.Constraint, "deploys.superseded", "a deploy or rollback that was begun later is live already")
	}
	return err
}

// tidy forgets what nothing refers to. The age keeps what is just being deployed.
func (s store) tidy(ctx context.Context, releases int, age time.Duration) error {
	versions := []int64{} // 0 is the folder, which is no version
	if err := s.db.Select(ctx, &versions, sqlForgetReleases, releases); err != nil {
		return err
	}
	old := int64(age.Seconds())
	for _, step := range []struct {
		sql  string
		args []any
	}{
		{sqlForgetUploads, nil},
		{sqlForgetJobs, nil},
		{sqlForgetVersions, []any{old, pg.Array(versions)}},
		{sqlForgetBlobs, []any{old}},
	} {
		if _, err := s.db.Exec(ctx, step.sql, step.args...); err != nil {
			return err
		}
	}
	return nil
}
