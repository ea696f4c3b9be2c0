package users_test

import (
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"crema/server/base/fault"
	"crema/server/core/users"
	"crema/server/testkit"
)

func TestEnsure_MakesTheAccountOnceT9(t *testing.T) {
	t.Parallel()
	db := testkit.DB(t)
	s := users.New(users.Config{DB: db})
	for _, id := range []string{"_god", "<your-user-id>", "_god", `'; DROP TABLE app._auth --`} {
		if err := s.Ensure(t.Context(), id); err != nil {
			t.Fatal(err)
		}
	}
	var n int
	if err := db.Get(t.Context(), &n, "SELECT count(*) FROM app._auth"); err != nil || n != 3 {
		t.Errorf("got %d accounts, %v; want 3", n, err)
	}
	if err := users.New(users.Config{DB: db}).Ensure(t.Context(), "_god"); err != nil {
		t.Errorf("a second server: %v", err)
	}
}

func TestEnsure_RefusesIDsThatCannotBeStored(t *testing.T) {
	t.Parallel()
	s := users.New(users.Config{DB: testkit.DB(t)})
	for _, id := range []string{"", "a\x00b", "a\xff", strings.Repeat("x", 256)} {
		if err := s.Ensure(t.Context(), id); !fault.Is(err, "users.bad_id") {
			t.Errorf("%q: got %v", id, err)
		}
	}
}

func TestEnsure_ForgetsInsteadOfGrowing(t *testing.T) {
	t.Parallel()
	db := testkit.DB(t)
	s := users.New(users.Config{DB: db})
	if _, err := db.Exec(t.Context(), "INSERT INTO app._auth (id) SELECT i::text FROM generate_series(1, $1) i", 10050); err != nil {
		t.Fatal(err)
	}
	for i := 1; i <= 10050; i++ {
		if err := s.Ensure(t.Context(), strconv.Itoa(i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Ensure(t.Context(), "1"); err != nil {
		t.Error(err)
	}
}

func TestRoles(t *testing.T) {
	t.Parallel()
	db := testkit.DB(t)
	s := users.New(users.Config{DB: db})
	if err := s.Ensure(t.Context(), "u1"); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec(t.Context(), "INSERT INTO app._role (id) VALUES ($1)", "barista"); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec(t.Context(), "INSERT INTO app._auth_role (auth_id, role_id) VALUES ($1, 'barista'), ($1, 'Admin')", "u1"); err != nil {
		t.Fatal(err)
	}
	got, err := s.Roles(t.Context(), "u1")
	if diff := cmp.Diff([]string{"Admin", "barista"}, got); err != nil || diff != "" {
		t.Error(err, diff)
	}
	if got, err := s.Roles(t.Context(), "nobody"); err != nil || len(got) != 0 {
		t.Errorf("got %v, %v", got, err)
	}
}
