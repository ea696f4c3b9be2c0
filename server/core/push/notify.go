package push

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"crema/server/base/fault"
	"crema/server/base/pg"
)

// How many changes one transaction handles, and how many noted by old triggers are taken over at once.
const (
	changesAtOnce = 200
	adoptAtOnce   = 5000
)

// recordChange is the channel on which the triggers say that there are changes, those of old databases too.
const recordChange = "record_change"

// Times of the work in the background.
const (
	lookAnyway    = 30 * time.Second // without a notice
	judgePatience = 2 * time.Second  // for one subscription
)

// Start sends notices until Stop. Changes that were made while no server ran come first, and types whose
// tables came without their trigger, with an old database, get it; so do subscriptions that are stored in
// the old form get today's beside it.
func (s *Service) Start(ctx context.Context) error {
	if err := s.modernize(ctx); err != nil {
		return err
	}
	if err := s.watchAll(ctx); err != nil {
		return err
	}
	l, err := s.db.Listen(ctx, recordChange, func(string, bool) { s.nudge() })
	if err != nil {
		return err
	}
	life, cancel := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan struct{})
	s.stop = func() {
		l.Stop()
		cancel()
		<-done
	}
	go func() {
		defer close(done)
		s.work(life)
	}()
	return nil
}

// Stop ends the sending of notices. What is left is for other servers, or for the next start.
func (s *Service) Stop() { s.stop() }

func (s *Service) nudge() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// work takes fewer changes at once while that fails, and gives the oldest one up when it fails alone: one
// that nobody can handle must not hold the others up.
func (s *Service) work(ctx context.Context) {
	size, failures := changesAtOnce, 0
	for ctx.Err() == nil {
		more := s.adopt(ctx)
		n, err := s.pass(ctx, size, s.tell)
		switch {
		case err == nil:
			if more = more || n == size; n > 0 {
				size, failures = min(2*size, changesAtOnce), 0
			}
			if !more {
				s.rest(ctx, lookAnyway)
			}
			continue
		case ctx.Err() != nil:
			return
		case size > 1:
			size = max(1, size/4)
		default:
			failures++
		}
		s.log.WarnContext(ctx, "notices about changed records wait; trying again", "error", err)
		if failures >= alone && isItsOwn(err) {
			s.giveUp(ctx, err)
			failures = 0
		}
		s.rest(ctx, s.c.Pause)
	}
}

// alone is how often one change fails by itself before it is given up.
const alone = 10

// isItsOwn tells a failure that a change may have caused from one of the database, which passes.
func isItsOwn(err error) bool {
	switch fault.From(err).Code {
	case fault.DatabaseUnavailable, fault.Unavailable, fault.Timeout, fault.NotConfigured:
		return false
	}
	return true
}

func (s *Service) giveUp(ctx context.Context, why error) {
	forget := func(context.Context, *pg.Tx, []change) error { return nil }
	if _, err := s.pass(ctx, 1, forget); err == nil {
		s.log.ErrorContext(ctx, "the notices about one change were given up", "error", why)
	}
}

func (s *Service) rest(ctx context.Context, wait time.Duration) {
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-s.wake:
	case <-t.C:
	}
}

// pass hands up to size of the oldest changes to handle, and returns how many there were. They are gone
// when it succeeds. Other servers skip them meanwhile.
func (s *Service) pass(ctx context.Context, size int, handle func(context.Context, *pg.Tx, []change) error) (n int, err error) {
	err = s.db.Tx(ctx, func(ctx context.Context, tx *pg.Tx) error {
		var changes []change
		if err := tx.Select(ctx, &changes, claimChanges, size); err != nil {
			return err
		}
		if n = len(changes); n == 0 {
			return nil
		}
		return handle(ctx, tx, changes)
	})
	return n, err
}

// tell sends the notices about changes.
func (s *Service) tell(ctx context.Context, tx *pg.Tx, changes []change) error {
	subscribers, err := subscribersOf(ctx, tx, changes)
	if err != nil {
		return err
	}
	notices, err := s.notices(ctx, changes, subscribers)
	if err != nil {
		return err
	}
	return s.send(ctx, tx, notices)
}

// adopt takes over some of what the triggers of an old database note, and says whether there may be more.
// It must not hold up what ours note.
func (s *Service) adopt(ctx context.Context) (more bool) {
	var there bool
	n := 0
	err := s.db.Get(ctx, &there, hasOldChanges)
	if err == nil && there {
		err = s.db.Get(ctx, &n, adoptChanges, string(s.db.Schema()), adoptAtOnce)
	}
	if err != nil && ctx.Err() == nil && !s.deaf {
		s.log.WarnContext(ctx, "the changes that old triggers noted cannot be read", "error", err)
	}
	s.deaf = err != nil
	return n == adoptAtOnce
}

func subscribersOf(ctx context.Context, tx *pg.Tx, changes []change) ([]subscriber, error) {
	type place struct{ recordType, database string }
	seen := map[place]bool{}
	var types, databases []string
	for _, c := range changes {
		if p := (place{c.RecordType, c.Database}); !seen[p] {
			seen[p] = true
			types, databases = append(types, p.recordType), append(databases, p.database)
		}
	}
	var found []subscriber
	err := tx.Select(ctx, &found, selectSubscribers, pg.Array(types), pg.Array(databases))
	return found, err
}

// notice tells one subscriber of one change.
type notice struct {
	change int64
	to     *subscriber
}

// notices finds out who hears of what, in the order of the changes. Its error means that nobody could be
// asked, and all of it must be done again.
func (s *Service) notices(ctx context.Context, changes []change, subscribers []subscriber) ([]notice, error) {
	var all []notice
	for i := range subscribers {
		sub := &subscribers[i]
		var here []change
		for _, c := range changes {
			if c.RecordType == sub.RecordType && c.Database == sub.Database {
				here = append(here, c)
			}
		}
		found, err := s.matching(ctx, sub, here)
		if err != nil {
			return nil, err
		}
		for _, c := range found {
			all = append(all, notice{c.ID, sub})
		}
	}
	slices.SortStableFunc(all, func(a, b notice) int { return int(a.change - b.change) })
	return all, nil
}

// matching returns those changes whose record the subscriber would have found. What cannot be judged does
// not match: one bad subscription, or one row that fits its table no more, must not hold the others up.
func (s *Service) matching(ctx context.Context, sub *subscriber, changes []change) ([]change, error) {
	found, err := s.ask(ctx, sub, changes)
	switch f := fault.From(err); {
	case err == nil:
		return found, nil
	case ctx.Err() != nil || f.Code == fault.DatabaseUnavailable:
		return nil, err
	case len(changes) == 1 || !isAboutRows(err):
		s.log.DebugContext(ctx, "a subscription could not be judged", "device", sub.DeviceID, "subscription", sub.ID, "error", err)
		return nil, nil
	}
	found = nil
	for i := range changes {
		one, err := s.matching(ctx, sub, changes[i:i+1])
		if err != nil {
			return nil, err
		}
		found = append(found, one...)
	}
	return found, nil
}

// isAboutRows tells an error that one row may have caused from one that all share.
func isAboutRows(err error) bool {
	return pg.State(err).SQLState != "" && !fault.HasCode(err, fault.Timeout)
}

func (s *Service) ask(ctx context.Context, sub *subscriber, changes []change) ([]change, error) {
	v := viewer{owner: sub.Owner, database: sub.Database}
	if err := json.Unmarshal(sub.Roles, &v.roles); err != nil {
		return nil, fault.From(err)
	}
	q, err := decodeQuery(sub.Database, sub.Query)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(v.context(ctx), judgePatience)
	defer cancel()
	rows := make([]json.RawMessage, len(changes))
	for i := range changes {
		rows[i] = changes[i].Record
	}
	at, err := s.c.Records.Match(ctx, q, rows)
	found := make([]change, len(at))
	for i, n := range at {
		found[i] = changes[n]
	}
	return found, err
}

// event is what a notice looks like on the websocket. Wire: skygear §2.8.
type event struct {
	Seq            int64  `json:"seq-num"`
	SubscriptionID string `json:"subscription-id"`
}

// send numbers notices and puts them on their way; they leave when tx commits. Who else sends to one of the
// subscriptions waits until then, so its numbers grow in the order in which its notices leave.
func (s *Service) send(ctx context.Context, tx *pg.Tx, notices []notice) error {
	if len(notices) == 0 {
		return nil
	}
	at, err := numbers(ctx, tx, notices)
	if err != nil {
		return err
	}
	var pushes []any
	for _, n := range notices {
		seq, there := at[n.to]
		if !there {
			continue
		}
		*seq++
		e := event{*seq, n.to.ID}
		if note := s.alert(n.to, e); note != nil {
			pushes = append(pushes, delivery{n.to.DeviceID, note})
		}
		err := s.c.Publish(ctx, tx, "_sub_"+n.to.DeviceID, marshal(e))
		if fault.HasCode(err, fault.Invalid) && pg.State(err).SQLState == "" { // an id that no channel can carry
			s.log.WarnContext(ctx, "a notice cannot be sent", "device", n.to.DeviceID, "error", err)
		} else if err != nil {
			return err
		}
	}
	if len(pushes) == 0 {
		return nil
	}
	return s.c.Jobs.Enqueue(ctx, tx, pushJob, pushes...)
}

// numbers returns where the counter of each subscriber stands, having moved it past the notices.
func numbers(ctx context.Context, tx *pg.Tx, notices []notice) (map[*subscriber]*int64, error) {
	count, byKey := map[*subscriber]int64{}, map[counter]*subscriber{}
	var databases, devices, ids []string
	var counts []int64
	for _, n := range notices {
		if count[n.to]++; count[n.to] == 1 {
			byKey[counter{n.to.Database, n.to.DeviceID, n.to.ID, 0}] = n.to
		}
	}
	for k, to := range byKey {
		databases, devices, ids = append(databases, k.Database), append(devices, k.DeviceID), append(ids, k.ID)
		counts = append(counts, count[to])
	}
	var found []counter
	if err := tx.Select(ctx, &found, takeNumbers, pg.Array(databases), pg.Array(devices), pg.Array(ids), pg.Array(counts)); err != nil {
		return nil, err
	}
	at := make(map[*subscriber]*int64, len(found))
	for _, c := range found {
		seq := c.Seq
		c.Seq = 0
		at[byKey[c]] = &seq
	}
	return at, nil
}
