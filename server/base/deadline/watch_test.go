package deadline

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// alarm notes when it went off.
type alarm struct {
	Entry
	mu    sync.Mutex
	times []time.Duration
	start time.Time
}

func newAlarm() *alarm { return &alarm{start: time.Now()} }

// Expire implements Expirer.
func (a *alarm) Expire() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.times = append(a.times, time.Since(a.start))
}

func TestWatch_CallsOnceAtOrJustAfterTheTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var w Watch
		delays := []time.Duration{0, time.Millisecond, time.Second, 1010 * time.Millisecond, time.Second, time.Hour}
		alarms := make([]*alarm, len(delays))
		for i, d := range delays {
			alarms[i] = newAlarm()
			w.Add(&alarms[i].Entry, time.Now().Add(d), alarms[i])
		}
		<-time.After(2 * time.Hour)
		synctest.Wait()
		for i, a := range alarms {
			if len(a.times) != 1 || a.times[0] < delays[i] || a.times[0] > delays[i]+tick {
				t.Errorf("after %v: %v", delays[i], a.times)
			}
			if w.Remove(&a.Entry) {
				t.Errorf("%d is still watched", i)
			}
		}
		for _, l := range w.all {
			if l.awake || l.first != nil {
				t.Error("the watch is awake with nothing to watch")
			}
		}
	})
}

func TestWatch_CallsOnceAContextHasEnded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var w Watch
		byTime, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		byHand, cancelled := context.WithCancel(newContext(t, t.Context(), time.Hour))
		a, b := newAlarm(), newAlarm()
		w.AddContext(&a.Entry, byTime, a)
		w.AddContext(&b.Entry, byHand, b)
		<-time.After(2 * time.Second)
		cancelled()
		<-time.After(2 * time.Second)
		synctest.Wait()
		for i, a := range []*alarm{a, b} {
			if at := time.Duration(i+1) * time.Second; len(a.times) != 1 || a.times[0] < at || a.times[0] > at+tick {
				t.Errorf("%d: after %v: %v", i, at, a.times)
			}
		}
	})
}

func TestWatch_RemovedEntriesAreNotCalled(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var w Watch
		var alarms []*alarm
		for range 5 {
			a := newAlarm()
			alarms = append(alarms, a)
			w.Add(&a.Entry, time.Now().Add(time.Second), a)
		}
		for _, i := range []int{2, 0, 4} { // from the middle and from both ends
			if !w.Remove(&alarms[i].Entry) || w.Remove(&alarms[i].Entry) {
				t.Errorf("%d was not removed once", i)
			}
		}
		<-time.After(time.Minute)
		synctest.Wait()
		for i, a := range alarms {
			if want := i % 2; len(a.times) != want {
				t.Errorf("%d: called %d times, want %d", i, len(a.times), want)
			}
		}
		again := newAlarm() // after a sleep
		w.Add(&again.Entry, time.Now().Add(time.Second), again)
		<-time.After(time.Minute)
		synctest.Wait()
		if len(again.times) != 1 {
			t.Errorf("called %d times after a sleep", len(again.times))
		}
	})
}

func TestWatch_ManyAtOnce(t *testing.T) {
	t.Parallel()
	var w Watch
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 1000 {
				a := newAlarm()
				w.Add(&a.Entry, time.Now().Add(time.Hour), a)
				w.Remove(&a.Entry)
			}
		})
	}
	all.Wait()
	for _, l := range w.all {
		if l.first != nil {
			t.Error("entries are left")
		}
	}
}
