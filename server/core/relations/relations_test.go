package relations_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"crema/server/base/fault"
	"crema/server/base/pg"
	"crema/server/core/acl"
	"crema/server/core/records"
	"crema/server/core/relations"
	"crema/server/core/schema"
	"crema/server/testkit"
)

func newService(t *testing.T, db *pg.DB, people int) *relations.Service {
	t.Helper()
	if _, err := db.Exec(t.Context(), "INSERT INTO app._auth (id) SELECT 'u' || i FROM generate_series(1, $1) i ON CONFLICT DO NOTHING", people); err != nil {
		t.Fatal(err)
	}
	return relations.New(db, records.New(records.Config{DB: db, Schema: schema.New(db)}))
}

func as(user string) context.Context {
	return acl.WithActor(context.Background(), acl.Actor{UserID: user, Key: acl.ClientKey})
}

func ids(t *testing.T, s *relations.Service, user string, q relations.Query) []string {
	t.Helper()
	page, err := s.Query(as(user), q)
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, target := range page.Targets {
		list = append(list, target.ID)
	}
	return list
}

func TestQuery_DirectionsOfBothRelations(t *testing.T) {
	t.Parallel()
	s := newService(t, testkit.DB(t), 4)
	for _, name := range []string{"friend", "_follow"} {
		for user, targets := range map[string][]string{"u1": {"u2", "u3"}, "u2": {"u1"}, "u4": {"u1", "u4"}} {
			if _, err := s.Add(as(user), name, targets); err != nil {
				t.Fatal(err)
			}
		}
		for direction, want := range map[relations.Direction][]string{
			relations.Outward: {"u2", "u3"}, relations.Inward: {"u2", "u4"}, relations.Mutual: {"u2"}, "": {"u2"},
		} {
			if diff := cmp.Diff(want, ids(t, s, "u1", relations.Query{Name: name, Direction: direction})); diff != "" {
				t.Errorf("%s %s: %s", name, direction, diff)
			}
		}
		if diff := cmp.Diff([]string{"u4"}, ids(t, s, "u4", relations.Query{Name: name})); diff != "" {
			t.Errorf("oneself: %s", diff)
		}
	}
	if _, err := s.Query(as("u1"), relations.Query{Name: "friend", Direction: "up"}); !fault.Is(err, "relations.bad_direction") {
		t.Errorf("got %v", err)
	}
	if _, err := s.Query(as(""), relations.Query{Name: "friend"}); !fault.Is(err, "relations.no_user") {
		t.Errorf("got %v", err)
	}
}

func TestAdd_ManyAtOnceOnTwoServers(t *testing.T) {
	t.Parallel()
	db := testkit.DB(t)
	const people = 40
	servers := []*relations.Service{newService(t, db, people), newService(t, db, people)}
	var everybody []string
	for i := range people {
		everybody = append(everybody, fmt.Sprint("u", i+1))
	}
	backwards := slices.Clone(everybody)
	slices.Reverse(backwards)
	for range 3 {
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				targets := everybody
				if i%2 == 1 {
					targets = backwards
				}
				for range 5 {
					if _, err := servers[i/2%2].Add(as("u1"), "friend", targets); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		if got := ids(t, servers[0], "u1", relations.Query{Name: "friend", Direction: relations.Outward}); len(got) != people {
			t.Errorf("got %d", len(got))
		}
		gone, err := servers[1].Remove(as("u1"), "friend", append(backwards, "u1"))
		if err != nil || slices.ContainsFunc(gone, func(t relations.Target) bool { return t.Err != nil }) {
			t.Errorf("got %v, %v", gone, err)
		}
	}
}
