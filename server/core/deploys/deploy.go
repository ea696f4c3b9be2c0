package deploys

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"crema/server/base/fault"
)

// State says how far a job is.
type State string

// The states of a job.
const (
	Running State = "running"
	Success State = "success"
	Failed  State = "failed"
)

// Job is a deploy or a rollback, under way or ended.
type Job struct {
	ID    string `db:"id"`
	State State  `db:"state"`
	Log   string `db:"log"` // what was said so far
}

// Why a version was released; a change of a secret is a reason too.
const (
	deployed   = "deploy"
	rolledBack = "rollback"
)

const (
	beat      = 5 * time.Second
	jobLook   = 100 * time.Millisecond
	deployFor = 15 * time.Minute // at most
)

// Begin makes files of which all contents are there a version and deploys it, in the background. It returns the
// job. Reasons: deploys.file_missing, archive.refused, archive.no_project, archive.too_large.
func (s *Service) Begin(ctx context.Context, by string, files []File) (job string, err error) {
	id, err := s.create(ctx, by, files)
	if err != nil {
		return "", err
	}
	s.c.Failpoint("deploy-listed")
	return s.begin(ctx, by, deployed, func(context.Context) (*int64, error) { return &id, nil })
}

// Rollback makes an earlier version live again: nil is the one below the live one. Version 0 is the
// server's own folder. Data, schema and secrets stay as they are. It returns the job.
func (s *Service) Rollback(ctx context.Context, by string, version *int64) (job string, err error) {
	return s.begin(ctx, by, rolledBack, func(ctx context.Context) (*int64, error) {
		if version == nil {
			return s.below(ctx)
		}
		if *version == 0 {
			return nil, nil
		}
		var was bool // what was never live may have been refused
		err := s.c.DB.Get(ctx, &was, sqlWasLive, *version)
		if err == nil && !was {
			err = fault.New(fault.NotFound, "deploys.no_version", "there is no version %d that was live; crema versions lists them", *version)
		}
		return version, err
	})
}

// below is the version below the live one; nil is the server's own folder.
func (s *Service) below(ctx context.Context) (*int64, error) {
	live, err := s.newest(ctx)
	if err != nil {
		return nil, err
	}
	if live.Version == nil {
		return nil, fault.New(fault.Invalid, "deploys.nothing_before", "the server's own folder is live, and nothing was before it; say which version you want")
	}
	var version int64
	err = s.c.DB.Get(ctx, &version, sqlBefore, *live.Version)
	if fault.Is(err, "pg.no_rows") {
		return nil, nil
	}
	return &version, err
}

// restart makes the live version live again, with a secret that changes.
func (s *Service) restart(ctx context.Context, by string, c change) (job string, err error) {
	return s.work(ctx, task{by: by, reason: "secret " + c.name, secret: &c})
}

// begin runs a job in the background. which tells its version.
func (s *Service) begin(ctx context.Context, by, reason string, which func(context.Context) (*int64, error)) (string, error) {
	return s.work(ctx, task{by: by, reason: reason, which: which})
}

// work runs a task in the background, as a new job.
func (s *Service) work(ctx context.Context, t task) (job string, err error) {
	t.job = rand.Text()
	if _, err := s.c.DB.Exec(ctx, sqlAddJob, t.job, t.by); err != nil {
		return "", err
	}
	s.c.Failpoint("deploy-begun")
	s.tasks.Go(func() {
		ctx, cancel := context.WithTimeout(s.ctx, deployFor)
		defer cancel()
		t.report = s.report(t.job)
		switch err := s.perform(ctx, t); {
		case err == nil:
			t.report.end(Success)
		case fault.Is(err, unknown):
			t.report.conclude(fault.From(err).Message)
			s.c.Log.ErrorContext(ctx, "it is not known whether a version is live; the release that is newest decides", "job", t.job, "error", err.Error())
			t.report.end(Running) // sqlEndLost finds out
		default:
			t.report.conclude("failed: " + fault.From(err).Message + "\nThe live version is as it was.")
			s.c.Log.WarnContext(ctx, "a deploy failed", "job", t.job, "error", err.Error())
			t.report.end(Failed)
		}
		s.c.Failpoint("deploy-told")
		s.tasks.Go(func() { s.tidy(s.ctx) })
	})
	return t.job, nil
}

// task is what a job does.
type task struct {
	job, by, reason string
	which           func(context.Context) (version *int64, err error) // nil: what is live when its turn comes, once more
	secret          *change                                           // that is made with it; nil: none
	report          *report
}

// perform takes a version through everything that may fail, and only then makes it live. Packages are installed before the turn
// is taken, so that others can deploy and roll back meanwhile; what was begun later and is live already wins.
func (s *Service) perform(ctx context.Context, t task) error {
	s.making.RLock()
	defer s.making.RUnlock()
	begun := time.Now()
	var version *int64
	var v Version
	var err error
	if t.which != nil {
		if version, v, err = s.make(ctx, t); err != nil {
			return err
		}
	}
	if err := s.take(ctx); err != nil {
		return err
	}
	defer s.give()
	if t.which == nil {
		t.which = s.liveVersion
		if version, v, err = s.make(ctx, t); err != nil {
			return err
		}
	}
	ready, err := s.stage(ctx, version, v, t.secret, t.report.say)
	if err != nil {
		return err
	}
	if err := s.inspectPublic(ctx, ready, t); err != nil {
		ready.Close()
		return err
	}
	s.c.Failpoint("deploy-prepared")
	seq, err := s.release(ctx, version, t)
	if err != nil {
		ready.Close()
		return err
	}
	s.c.Failpoint("deploy-released")
	s.swap(ready, release{Seq: seq, Version: version})
	s.c.Failpoint("deploy-switched")
	t.report.conclude(fmt.Sprintf("live: %s after %v", describe(version), time.Since(begun).Round(time.Millisecond)))
	return nil
}

// unknown is the reason when the answer to a commit was lost and the database cannot be asked.
const unknown = "deploys.unknown"

// release makes a version live, and finds out whether it did when the answer is lost.
func (s *Service) release(ctx context.Context, version *int64, t task) (seq int64, err error) {
	seq, err = s.store.release(ctx, version, t, s.c.Failpoint)
	if err == nil {
		return seq, nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), endLimit)
	defer cancel()
	if lost := s.c.DB.Get(ctx, &seq, sqlReleaseOf, t.job); lost != nil {
		return 0, fault.Wrap(errors.Join(err, lost), fault.Unavailable, unknown, "the database went away while the version became live; crema versions tells whether it did")
	}
	if seq != 0 {
		return seq, nil
	}
	return 0, err
}

// make brings the version of a job to the disk.
func (s *Service) make(ctx context.Context, t task) (version *int64, v Version, err error) {
	if version, err = t.which(ctx); err != nil {
		return nil, v, err
	}
	if version != nil && t.reason == deployed {
		if err := s.inspect(ctx, *version, t.report.say); err != nil {
			return nil, v, err
		}
	}
	v, err = s.unpack(ctx, version, false, t.report.say)
	return version, v, err
}

func (s *Service) liveVersion(ctx context.Context) (*int64, error) {
	r, err := s.newest(ctx)
	return r.Version, err
}

func describe(version *int64) string {
	if version == nil {
		return "the server's own folder"
	}
	return fmt.Sprintf("version %d", *version)
}

// Job returns how far a job is. When said is not less than what it has said so far, it waits until there is more, the job
// ends or wait is over. Reason deploys.no_job.
func (s *Service) Job(ctx context.Context, id string, said int, wait time.Duration) (Job, error) {
	until := time.Now().Add(wait)
	for {
		var row struct {
			Job
			Lost bool `db:"lost"`
		}
		err := s.c.DB.Get(ctx, &row, sqlJob, id)
		if fault.Is(err, "pg.no_rows") {
			err = fault.New(fault.NotFound, "deploys.no_job", "there is no such deploy")
		}
		if err != nil {
			return row.Job, err
		}
		if row.Lost {
			if _, err := s.c.DB.Exec(ctx, sqlEndLost); err != nil {
				return row.Job, err
			}
			continue
		}
		j := row.Job
		if j.State != Running || len(j.Log) > said || !time.Now().Before(until) {
			return j, nil
		}
		if err := pause(ctx, jobLook); err != nil {
			return j, err
		}
	}
}

// LastJob returns the newest job of an operator. Reason deploys.no_job.
func (s *Service) LastJob(ctx context.Context, by string) (id string, err error) {
	err = s.c.DB.Get(ctx, &id, sqlLastJob, by)
	if fault.Is(err, "pg.no_rows") {
		err = fault.New(fault.NotFound, "deploys.no_job", "nothing has been deployed yet")
	}
	return id, err
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return fault.From(ctx.Err())
	case <-t.C:
		return nil
	}
}
