package deploys

import (
	"cmp"
	"context"
	"io/fs"
	"log/slog"
	"path/filepath"
	"sync"
	"time"

	"crema/server/base/fault"
	"crema/server/base/pg"
)

// Stage makes a version ready beside the live one. app has the only one: it starts workers of core/functions and opens the files.
type Stage interface {
	// Prepare starts the workers of a version and returns when its functions have loaded. Nobody notices yet. say gets
	// what the one who deploys should read.
	Prepare(ctx context.Context, v Version, say func(string)) (Ready, error)
}

// Ready is a version that could be live at once. Close ends it, live or not.
type Ready interface {
	// Switch makes it the live one. drained waits for what still goes on in the one before.
	Switch() (drained func(context.Context) error)
	Close()
}

// Public is what a Ready may be too: it tells the folders beside the site that everybody can read.
type Public interface{ Public() (folders []string) }

// Version is what a Stage gets.
type Version struct {
	ID        int64             // 0: the server's own folders
	Name      string            // for logs
	Functions string            // folder of the functions; "" when there are none
	Project   bool              // of Skygear v1: only the file that loads the others counts
	Site      string            // folder of the files
	Python    string            // interpreter with the packages of requirements.txt; "" when there are none
	Secrets   map[string]string // for the functions' environment
	Lenient   bool              // what does not load is left out and told
	Before    []Before          // what was live lately, newest first
}

// Before is a version that was live until lately. Pages that are open may still load its files.
type Before struct {
	Site  string    // folder of the files; "" is the server's own
	Until time.Time // when they may go
}

// Config is what the service works with.
type Config struct {
	DB        *pg.DB
	Dir       string   // folder for copies of versions and their packages
	Stage     Stage    // nil: nothing is ever live, for commands
	Key       []byte   // 32 bytes; seals secrets
	MasterKey string   // must not stand in files of the site
	BuildEnv  []string // "NAME=value" for pip and npm: where packages come from
	Reserved  []string // names that secrets cannot have
	Log       *slog.Logger
	Drain     time.Duration // how long old calls may take; 0: 30 s
	Poll      time.Duration // how often the live version is asked for beside notices; 0: 10 s

	Now       func() time.Time  // nil: time.Now
	Failpoint func(name string) // tests only: called after each step of a deploy, where a crash is worth testing
}

// File is one file of a version.
type File struct {
	Path string
	Hash []byte // SHA-256
	Size int64
	Mode fs.FileMode
}

// Service is the deploys of one app. It is safe for concurrent use.
type Service struct {
	c      Config
	store  store
	ctx    context.Context // of the work in the background
	cancel context.CancelFunc
	tasks  sync.WaitGroup

	making  sync.RWMutex // read-locked by what works on copies of versions and packages
	linking sync.Mutex   // held while links to packages change

	turn chan struct{} // held while a version is made ready and becomes live
	live release
	now  Ready // nil before Start
}

const (
	keptReleases = 10
	unusedAge    = time.Hour
	openPages    = 24 * time.Hour // how long pages of a version before may be open and find their files
)

// New returns the service.
func New(c Config) *Service {
	c.Log = cmp.Or(c.Log, slog.Default())
	c.Drain = cmp.Or(c.Drain, 30*time.Second)
	c.Poll = cmp.Or(c.Poll, 10*time.Second)
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Failpoint == nil {
		c.Failpoint = func(string) {}
	}
	s := &Service{c: c, store: store{db: c.DB, channel: string(c.DB.Schema()) + "_deploys"}, turn: make(chan struct{}, 1)}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s
}

// Start makes the newest release live and follows what other servers release until Stop. A version that cannot
// run here any more is left out and told; its files are served. What a killed server has left here is removed.
func (s *Service) Start(ctx context.Context) error {
	var err error
	if s.live, err = s.newest(ctx); err != nil {
		return err
	}
	if err := s.mend(ctx); err != nil {
		s.c.Log.WarnContext(ctx, "damaged copies of versions are not removed", "error", err.Error())
	}
	say := func(line string) { s.c.Log.InfoContext(ctx, line) }
	v, err := s.unpack(ctx, s.live.Version, true, say)
	if err != nil {
		return err
	}
	if s.now, err = s.stage(ctx, s.live.Version, v, nil, say); err != nil {
		return err
	}
	s.now.Switch()
	heard := make(chan struct{}, 1)
	heard <- struct{}{} // there may be a newer one by the time that we listen
	l, err := s.c.DB.Listen(ctx, s.store.channel, func(string, bool) {
		select {
		case heard <- struct{}{}:
		default:
		}
	})
	if err != nil {
		return err
	}
	s.tasks.Go(func() {
		defer l.Stop()
		s.follow(heard)
	})
	s.tasks.Go(func() { s.tidy(s.ctx) })
	return nil
}

// Stop ends deploys that are going on and the live version's workers. No request may need them any more.
func (s *Service) Stop() {
	s.cancel()
	s.tasks.Wait()
	if s.now != nil {
		s.now.Close()
		s.now = nil
	}
}

func (s *Service) newest(ctx context.Context) (r release, err error) {
	if err = s.c.DB.Get(ctx, &r, sqlLive); fault.Is(err, "pg.no_rows") {
		return release{}, nil
	}
	return r, err
}

// follow makes live here what is released elsewhere.
func (s *Service) follow(heard <-chan struct{}) {
	t := time.NewTicker(s.c.Poll)
	defer t.Stop()
	for {
		select {
		case <-s.ctx.Done():
			return
		case <-heard:
		case <-t.C:
		}
		if err := s.catchUp(s.ctx); err != nil && s.ctx.Err() == nil {
			s.c.Log.ErrorContext(s.ctx, "the live version could not be taken over from another server; it is tried again", "error", err.Error())
		}
		if _, err := s.c.DB.Exec(s.ctx, sqlEndLost); err != nil && s.ctx.Err() == nil {
			s.c.Log.WarnContext(s.ctx, "deploys of killed servers are not ended", "error", err.Error())
		}
	}
}

func (s *Service) catchUp(ctx context.Context) error {
	for {
		r, err := s.newest(ctx)
		if err != nil {
			return err
		}
		if live, err := s.isLive(ctx, r); live || err != nil {
			return err
		}
		if err := s.takeOver(ctx, r); err != nil {
			return err
		}
		s.tidy(ctx)
	}
}

func (s *Service) isLive(ctx context.Context, r release) (bool, error) {
	if err := s.take(ctx); err != nil {
		return false, err
	}
	defer s.give()
	return r.Seq == s.live.Seq, nil
}

// takeOver makes a release live here, unless there is a newer one by then.
func (s *Service) takeOver(ctx context.Context, r release) error {
	say := func(line string) { s.c.Log.InfoContext(ctx, line) }
	s.making.RLock()
	defer s.making.RUnlock()
	v, err := s.unpack(ctx, r.Version, false, say)
	if err != nil {
		return err
	}
	if err := s.take(ctx); err != nil {
		return err
	}
	defer s.give()
	if now, err := s.newest(ctx); err != nil || now.Seq != r.Seq || now.Seq == s.live.Seq {
		return err
	}
	ready, err := s.stage(ctx, r.Version, v, nil, say)
	if err == nil {
		s.swap(ready, r)
	}
	return err
}

// take waits for the turn to change what is live.
func (s *Service) take(ctx context.Context) error {
	select {
	case s.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fault.From(ctx.Err())
	}
}

func (s *Service) give() { <-s.turn }

// swap makes ready the live one. The one before ends when its calls have.
func (s *Service) swap(ready Ready, r release) {
	old := s.now
	drained := ready.Switch()
	s.now, s.live = ready, r
	s.c.Log.Info("a version is live", "release", r.Seq, "version", named(r.Version))
	if old == nil {
		return
	}
	s.tasks.Go(func() {
		ctx, cancel := context.WithTimeout(s.ctx, s.c.Drain)
		defer cancel()
		if err := drained(ctx); err != nil && s.ctx.Err() == nil {
			s.c.Log.Warn("calls of the version before were cut off", "after", s.c.Drain)
		}
		s.c.Failpoint("deploy-drained")
		old.Close()
	})
}

// Refresh makes live what ready makes of the server's own folders, for those who write there. Nothing is written down, and
// other servers do not follow. Reason deploys.not_folder, when a deployed version is live.
func (s *Service) Refresh(ctx context.Context, ready func(context.Context, Version) (Ready, error)) error {
	if err := s.take(ctx); err != nil {
		return err
	}
	defer s.give()
	if s.live.Version != nil {
		return fault.New(fault.Invalid, "deploys.not_folder", "version %d is live, which was deployed; crema rollback 0 makes the folder live again", *s.live.Version)
	}
	v := Version{Name: named(nil), Lenient: true}
	var err error
	if v.Secrets, _, err = s.secrets(ctx); err == nil {
		v.Before, err = s.before(ctx, nil)
	}
	if err != nil {
		return err
	}
	next, err := ready(ctx, v)
	if err == nil {
		s.swap(next, s.live)
	}
	return err
}

// unpack brings a version to the disk, with its packages. It may take long, and nobody waits for it. nil is the server's own folder.
func (s *Service) unpack(ctx context.Context, id *int64, lenient bool, say func(string)) (Version, error) {
	v := Version{Lenient: lenient || id == nil, Name: named(id)}
	if s.c.Stage == nil {
		return v, fault.New(fault.NotConfigured, "deploys.no_stage", "this program serves nobody")
	}
	if id == nil {
		return v, nil
	}
	v.ID = *id
	return v, s.materialize(ctx, &v, say)
}

// stage makes an unpacked version ready, with a secret that changes or nil. Whoever has the turn calls it.
func (s *Service) stage(ctx context.Context, id *int64, v Version, secret *change, say func(string)) (_ Ready, err error) {
	if v.Secrets, _, err = s.secrets(ctx); err != nil {
		return nil, err
	}
	secret.apply(v.Secrets)
	if v.Before, err = s.before(ctx, id); err != nil {
		return nil, err
	}
	return s.c.Stage.Prepare(ctx, v, say)
}

func (s *Service) versions() string { return filepath.Join(s.c.Dir, "versions") }

func (s *Service) packages() string { return filepath.Join(s.c.Dir, "packages") }
