package deadline

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

type valueKey struct{}

func newContext(t *testing.T, parent context.Context, after time.Duration) *Context {
	t.Helper()
	c := &Context{}
	c.Start(parent, time.Now().Add(after))
	t.Cleanup(c.End)
	return c
}

func TestContext_EndsLikeAnyContext(t *testing.T) {
	t.Parallel()
	for _, looked := range []bool{false, true} { // whether somebody has asked for Done before
		synctest.Test(t, func(t *testing.T) {
			parent, cancel := context.WithCancel(context.WithValue(t.Context(), valueKey{}, "v"))
			defer cancel()
			byTime, byParent, byEnd := newContext(t, parent, time.Second), newContext(t, parent, time.Hour), newContext(t, parent, time.Hour)
			all := []*Context{byTime, byParent, byEnd}
			for _, d := range all {
				if looked {
					d.Done()
				}
				if at, ok := d.Deadline(); !ok || !at.Equal(d.at) || d.Err() != nil || d.Value(valueKey{}) != "v" {
					t.Errorf("deadline %v, %v, error %v", at, ok, d.Err())
				}
			}
			<-time.After(time.Second)
			synctest.Wait()
			byEnd.End()
			if byTime.Err() != context.DeadlineExceeded || byEnd.Err() != context.Canceled || byParent.Err() != nil {
				t.Errorf("by time: %v, by end: %v, by parent: %v", byTime.Err(), byEnd.Err(), byParent.Err())
			}
			cancel()
			if byParent.Err() != context.Canceled {
				t.Errorf("by parent: %v", byParent.Err())
			}
			for i, d := range all {
				select {
				case <-d.Done():
				default:
					t.Errorf("%d is not done", i)
				}
			}
		})
	}
}

func TestContext_ParentsEarlierDeadlineCounts(t *testing.T) {
	t.Parallel()
	parent, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	want, _ := parent.Deadline()
	if at, _ := newContext(t, parent, time.Hour).Deadline(); !at.Equal(want) {
		t.Errorf("deadline %v, want the parent's %v", at, want)
	}
}

func TestContext_ChildrenEndWithIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		child, cancel := context.WithCancel(newContext(t, t.Context(), time.Second))
		defer cancel()
		start := time.Now()
		<-child.Done()
		if time.Since(start) != time.Second || child.Err() != context.DeadlineExceeded {
			t.Errorf("child ended after %v: %v", time.Since(start), child.Err())
		}
	})
}
