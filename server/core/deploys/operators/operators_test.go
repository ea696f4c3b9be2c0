package operators_test

import (
	"fmt"
	"testing"

	"golang.org/x/crypto/bcrypt"

	"crema/server/base/fault"
	"crema/server/core/deploys/operators"
	"crema/server/testkit"
)

func open(t *testing.T) *operators.Service {
	t.Helper()
	return operators.New(operators.Config{DB: testkit.DB(t), MasterKey: "the master key", Cost: bcrypt.MinCost})
}

func TestOperators_ComeAndGo(t *testing.T) {
	t.Parallel()
	s, ctx := open(t), t.Context()
	if err := s.Add(ctx, "Ann@Example.com", "a good password"); err != nil {
		t.Fatal(err)
	}
	if err := s.Add(ctx, "ann@example.com", "a good password"); !fault.Is(err, "operators.exists") {
		t.Error(err)
	}
	for email, password := range map[string]string{"ann": "a good password", "bob@example.com": "short", "": "a good password"} {
		if err := s.Add(ctx, email, password); !fault.HasCode(err, fault.Invalid) {
			t.Errorf("%s: %v", email, err)
		}
	}
	if made, err := s.AddFirst(ctx, "first@example.com", "a good password"); made || err != nil {
		t.Errorf("a second first one: %v, %v", made, err)
	}
	token, err := s.LogIn(ctx, "ann@example.com", "a good password", "10.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	if who, err := s.Who(ctx, token); who != "ann@example.com" || err != nil {
		t.Errorf("%s, %v", who, err)
	}
	if err := s.Remove(ctx, "ann@example.com"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Who(ctx, token); !fault.Is(err, "operators.token_refused") {
		t.Errorf("the token of somebody who is gone: %v", err)
	}
	if who, err := s.Who(ctx, "the master key"); who != operators.Master || err != nil {
		t.Errorf("%s, %v", who, err)
	}
	if made, err := s.AddFirst(ctx, "first@example.com", "a good password"); !made || err != nil {
		t.Errorf("the first one: %v, %v", made, err)
	}
}

func TestLogIn_IsLimited(t *testing.T) {
	t.Parallel()
	s, ctx := open(t), t.Context()
	if err := s.Add(ctx, "ann@example.com", "a good password"); err != nil {
		t.Fatal(err)
	}
	try := func(times int, email, password, address, reason string) {
		t.Helper()
		for range times {
			_, err := s.LogIn(ctx, email, password, address)
			if reason == "" && err != nil || reason != "" && !fault.Is(err, reason) {
				t.Fatalf("%s from %s: %v", email, address, err)
			}
		}
	}
	const refused, closed = "operators.refused", "operators.too_many_failures"
	try(10, "ann@example.com", "wrong", "10.0.0.1", refused)
	try(1, "ann@example.com", "a good password", "10.0.0.1", closed)
	try(1, "ann@example.com", "a good password", "10.0.0.2", "") // a stranger has locked themselves out, and nobody else
	for i := range 50 {
		try(1, fmt.Sprintf("%d@example.com", i), "wrong", fmt.Sprintf("2001:db8::%d", i), refused)
	}
	try(1, "ann@example.com", "a good password", "2001:db8::ffff", closed) // the same network
	for i := range 90 {
		try(1, "ann@example.com", "wrong", fmt.Sprintf("10.0.1.%d", i), refused)
	}
	try(1, "ann@example.com", "a good password", "10.0.0.2", closed)
}

func TestTokens(t *testing.T) {
	t.Parallel()
	s, ctx := open(t), t.Context()
	if _, _, err := s.CreateToken(ctx, "ann@example.com", "ci"); !fault.Is(err, "operators.unknown") {
		t.Error(err)
	}
	if err := s.Add(ctx, "ann@example.com", "a good password"); err != nil {
		t.Fatal(err)
	}
	made, text, err := s.CreateToken(ctx, "ann@example.com", "ci")
	if err != nil {
		t.Fatal(err)
	}
	if who, err := s.Who(ctx, text); who != "ann@example.com" || err != nil {
		t.Errorf("%s, %v", who, err)
	}
	all, err := s.Tokens(ctx)
	if err != nil || len(all) != 1 || all[0].ID != made.ID || all[0].Expires != nil {
		t.Errorf("%+v, %v", all, err)
	}
	if err := s.Revoke(ctx, made.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Who(ctx, text); !fault.Is(err, "operators.token_refused") {
		t.Error(err)
	}
	if err := s.Revoke(ctx, made.ID); !fault.Is(err, "operators.no_token") {
		t.Error(err)
	}
}
