package deploys_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"crema/server/base/fault"
	"crema/server/core/deploys"
	"crema/server/testkit"
)

func TestSecrets(t *testing.T) {
	t.Parallel()
	db := testkit.DB(t)
	s, st := start(t, db, t.TempDir())
	id, err := s.SetSecret(t.Context(), "me", "SMTP_PASSWORD", "quite secret")
	if err != nil {
		t.Fatal(err)
	}
	wait(t, s, id)
	if diff := cmp.Diff(map[string]string{"SMTP_PASSWORD": "quite secret"}, st.secrets()); diff != "" {
		t.Error(diff)
	}
	all, err := s.Secrets(t.Context())
	if err != nil || len(all) != 1 || strings.Contains(string(all[0].Sealed), "secret") {
		t.Errorf("%v %v", all, err)
	}
	for _, name := range []string{"MASTER_KEY", "LD_PRELOAD", "NODE_OPTIONS", "lower", ""} {
		if _, err := s.SetSecret(t.Context(), "me", name, "x"); !fault.Is(err, "deploys.bad_secret") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if id, err = s.DeleteSecret(t.Context(), "me", "SMTP_PASSWORD"); err != nil {
		t.Fatal(err)
	}
	wait(t, s, id)
	if len(st.secrets()) != 0 {
		t.Error("it is still there")
	}
}

func TestDeploy_RefusesSecretsOfTheApp(t *testing.T) {
	t.Parallel()
	s, _ := start(t, testkit.DB(t), t.TempDir())
	id, err := s.SetSecret(t.Context(), "me@example.com", "SMTP_PASSWORD", "quite-secret-it-is")
	if err != nil {
		t.Fatal(err)
	}
	wait(t, s, id)
	large := strings.Repeat("x", 6<<20)
	for _, body := range []string{"quite-secret-it-is", large + ` "sk_test_` + `4eC39HqLyjWDarjtT1zdp7dc"`} {
		j := send(t, s, map[string]string{"public_html/index.html": "x", "public_html/a.js": body})
		if j.State != deploys.Failed || !strings.Contains(j.Log, "public_html/a.js would publish") || strings.Contains(j.Log, "quite-secret") {
			t.Errorf("%+v", j)
		}
	}
}

// A secret that the functions do not start with would end them at the next start of the server; so would one that they miss.
func TestSecrets_AreKeptOnlyWhereFunctionsStartWithThem(t *testing.T) {
	t.Parallel()
	db, dir := testkit.DB(t), t.TempDir()
	s, st := start(t, db, dir)
	change := func(job string, err error) deploys.State {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return wait(t, s, job).State
	}
	is := func(want ...string) {
		t.Helper()
		all, err := s.Secrets(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		names := []string{}
		for _, one := range all {
			names = append(names, one.Name)
		}
		if diff := cmp.Diff(append([]string{}, want...), names); diff != "" {
			t.Error(diff)
		}
	}
	if got := change(s.SetSecret(t.Context(), "me", "NEEDED", "here")); got != deploys.Success {
		t.Error(got)
	}
	if j := send(t, s, map[string]string{"public_html/index.html": "needs a secret"}); j.State != deploys.Success {
		t.Fatalf("%+v", j)
	}
	if got := change(s.SetSecret(t.Context(), "me", "BROKEN", "yes")); got != deploys.Failed {
		t.Error(got)
	}
	if got := change(s.DeleteSecret(t.Context(), "me", "NEEDED")); got != deploys.Failed {
		t.Error(got)
	}
	is("NEEDED")
	if !st.is("needs a secret")() || st.secrets()["NEEDED"] != "here" {
		t.Error(st.secrets())
	}

	// Under another master key none can be opened: they come back one after the other.
	other := deploys.New(deploys.Config{DB: db, Dir: dir, Stage: &stage{}, Key: bytes.Repeat([]byte{1}, 32)})
	t.Cleanup(other.Stop)
	if _, err := other.SetSecret(t.Context(), "me", "ANOTHER", "one"); err != nil {
		t.Fatal(err)
	}
	is("ANOTHER", "NEEDED")
}
