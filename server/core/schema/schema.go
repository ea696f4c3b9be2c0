package schema

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"sync"
	"sync/atomic"

	"crema/server/base/pg"
)

// Service keeps the picture of one app's schema. It is safe for concurrent use.
type Service struct {
	db       *pg.DB
	current  atomic.Pointer[Snapshot]
	stale    atomic.Bool // a notice said that current is not the newest
	reading  sync.Mutex  // one reading at a time
	noGeo    atomic.Bool // PostGIS cannot be had
	listener *pg.Listener
	cancel   context.CancelFunc
	created  Created
	changed  func(context.Context, *Snapshot)
}

// Created is told of a new record type inside the transaction that makes its table, while the version of
// the schema is locked.
type Created func(ctx context.Context, tx *pg.Tx, name string) error

// OnCreate names who is told of new record types. Call it before the first
// change.
func (s *Service) OnCreate(fn Created) { s.created = fn }

// OnChange names who is told when this server has changed types or fields, once that is durable. Call it before the
// first change. fn must not wait for anybody.
func (s *Service) OnChange(fn func(ctx context.Context, now *Snapshot)) { s.changed = fn }

// New returns a Service. It works without Start; Start makes it hear of changes by other servers.
func New(db *pg.DB) *Service {
	return &Service{
		db: db, cancel: func() {}, created: func(context.Context, *pg.Tx, string) error { return nil },
		changed: func(context.Context, *Snapshot) {},
	}
}

// Start reads the schema and listens for changes until Stop.
func (s *Service) Start(ctx context.Context) error {
	if _, err := s.Current(ctx); err != nil {
		return err
	}
	life, cancel := context.WithCancel(context.WithoutCancel(ctx))
	l, err := s.db.Listen(ctx, s.channel(), func(payload string, again bool) { s.heard(life, payload, again) })
	if err != nil {
		cancel()
		return err
	}
	s.listener, s.cancel = l, cancel
	return nil
}

// Stop ends listening.
func (s *Service) Stop() {
	s.cancel()
	if s.listener != nil {
		s.listener.Stop()
	}
}

// channel is the name of the notices; it is a hash because names of schemas may be too long.
func (s *Service) channel() string {
	sum := sha256.Sum256([]byte(s.db.Schema()))
	return "crema_schema_" + hex.EncodeToString(sum[:8])
}

func (s *Service) heard(ctx context.Context, payload string, again bool) {
	old := s.current.Load()
	version, err := strconv.ParseInt(payload, 10, 64)
	if err == nil && !again && old != nil && old.Version >= version {
		return
	}
	s.stale.Store(true)
	// When this reading fails the next caller of Current reads, and gets the error.
	_, _ = s.Current(ctx)
}

// Current returns the picture in memory; it reads the catalogue when there is none or when a notice
// said that it changed.
func (s *Service) Current(ctx context.Context) (*Snapshot, error) {
	if snap := s.current.Load(); snap != nil && !s.stale.Load() {
		return snap, nil
	}
	return s.read(ctx, func(snap *Snapshot) bool { return !s.stale.Load() })
}

// Newer returns a picture that is not older than the call: snap itself when nothing changed, which
// costs one small query. For whoever did not find a type or a field in snap.
func (s *Service) Newer(ctx context.Context, snap *Snapshot) (*Snapshot, error) {
	var version int64
	if err := s.db.Get(ctx, &version, selectVersion); err != nil {
		return nil, err
	}
	if snap.Version >= version {
		return snap, nil
	}
	return s.read(ctx, func(snap *Snapshot) bool { return snap.Version >= version })
}

// Newest returns a picture that is not older than the call.
func (s *Service) Newest(ctx context.Context) (*Snapshot, error) {
	snap, err := s.Current(ctx)
	if err != nil {
		return nil, err
	}
	return s.Newer(ctx, snap)
}

// Refresh reads the catalogue unless somebody else replaced snap already. For whoever met an undefined
// column or table although snap has it.
func (s *Service) Refresh(ctx context.Context, snap *Snapshot) (*Snapshot, error) {
	return s.read(ctx, func(now *Snapshot) bool { return now != snap })
}

// read reads the catalogue, unless the picture became good enough while it waited.
func (s *Service) read(ctx context.Context, good func(*Snapshot) bool) (*Snapshot, error) {
	s.reading.Lock()
	defer s.reading.Unlock()
	if snap := s.current.Load(); snap != nil && good(snap) {
		return snap, nil
	}
	// Before reading: a notice that comes meanwhile must not get lost.
	s.stale.Store(false)
	snap, err := read(ctx, s.db, s.db.Schema())
	if err != nil {
		s.stale.Store(true)
		return nil, err
	}
	s.current.Store(snap)
	return snap, nil
}
