package doortest

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"log/slog"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"crema/server/base/pg"
	"crema/server/core/acl"
	"crema/server/core/functions"
	"crema/server/core/users"
	"crema/server/lambda"
	"crema/server/testkit"
	"crema/server/web"
)

// The keys of the gate that New returns.
const (
	APIKey    = "client-key"
	MasterKey = "master-key"
)

// Request is one call of a function, as a door's client would send it.
type Request struct {
	Function string
	APIKey   string // "" for none
	Token    string // access token, "" for none
	Args     string // JSON text, "" for none
}

// Response is what came back.
type Response struct {
	Status int             // HTTP
	Code   int             // of the error; 0 with a result
	Result json.RawMessage // nil with an error
}

// Tokens of users whose accounts stand in different ways, and one that has expired.
const (
	AnnsToken     = "token of ann, who has the role Admin"
	bobsToken     = "token of bob, who is disabled"
	carlsToken    = "token of carl, issued before his password changed"
	goneToken     = "token of somebody who is gone"
	expiredToken  = "token of ann that has expired"
	annWithRoles  = `{"user":"ann","master":false,"roles":["Admin"]}`
	annWithMaster = `{"user":"ann","master":true,"roles":["Admin"]}`
)

// New returns a gate to users in a database of the test's own, and the functions that the cases call:
// open, keyed and personal, which answer with their caller, refuse, which answers 409, and crash, which
// panics.
func New(t testing.TB) (*web.Gate, *functions.Service) {
	t.Helper()
	s, err := functions.New(functions.Config{Log: slog.New(slog.DiscardHandler)},
		lambda.Op("open", whoami),
		lambda.Op("keyed", whoami, lambda.KeyRequired()),
		lambda.Op("personal", whoami, lambda.UserRequired()),
		lambda.Op("shop/refuse", refuse),
		lambda.Op("crash", crash),
	)
	if err != nil {
		t.Fatal(err)
	}
	db := testkit.DB(t)
	people(t, db)
	return web.NewGate(APIKey, MasterKey, users.New(users.Config{DB: db})), s
}

// people makes the accounts.
func people(t testing.TB, db *pg.DB) {
	t.Helper()
	do := func(q string, args ...any) {
		t.Helper()
		if _, err := db.Exec(t.Context(), q, args...); err != nil {
			t.Fatal(err)
		}
	}
	now := time.Now().UTC()
	do(`INSERT INTO app._auth (id, disabled, token_valid_since) VALUES ('ann', false, $1), ('bob', true, NULL), ('carl', false, $2)`,
		now, now.Add(2*time.Second))
	do(`INSERT INTO app._auth_role (auth_id, role_id) VALUES ($1, 'Admin')`, "ann")
	for _, k := range []struct {
		text, user string
		expires    *time.Time
	}{{AnnsToken, "ann", nil}, {bobsToken, "bob", nil}, {carlsToken, "carl", nil}, {goneToken, "gone", nil}, {expiredToken, "ann", &now}} {
		hash := sha256.Sum256([]byte(k.text))
		do(`INSERT INTO app._access_token (hash, auth_id, issued_at, expires_at) VALUES ($1, $2, $3, $4)`, hash[:], k.user, now, k.expires)
	}
}

type whoamiIn struct {
	Note string `json:"note" lambda:"optional"`
}

type caller struct {
	User   string   `json:"user"`
	Master bool     `json:"master"`
	Roles  []string `json:"roles,omitempty"`
	Note   string   `json:"note,omitempty"`
}

func whoami(_ context.Context, c *lambda.Call, in whoamiIn) (caller, error) {
	return caller{c.Actor.UserID, c.Actor.Master, c.Actor.Roles, in.Note}, nil
}

func refuse(context.Context, *lambda.Call, struct{}) (any, error) {
	return nil, &lambda.Error{Kind: lambda.Conflict, Message: "sold out"}
}

func crash(_ context.Context, c *lambda.Call, _ struct{}) (string, error) {
	return c.Actor.Roles[len(c.Name)], nil // nobody has that many
}

// Run sends every case through do and compares the verdicts.
func Run(t *testing.T, do func(*testing.T, Request) Response) {
	t.Helper()
	for _, c := range cases() {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got := do(t, c.send)
			want := Response{Status: c.status, Code: c.code}
			if c.code == 0 {
				want.Result = canonical(t, c.result)
				got.Result = canonical(t, string(got.Result))
			} else {
				got.Result = nil
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("verdict (-want +got):\n%s", diff)
			}
		})
	}
}

type testCase struct {
	name   string
	send   Request
	status int
	code   int
	result string
}

const (
	anonymous = `{"user":"","master":false}`
	asMaster  = `{"user":"","master":true}`
	asGod     = `{"user":"` + acl.God + `","master":true}`
)

// cases is the table of Skygear v1's chains: user_required authenticates and requires a user,
// key_required authenticates, and the rest takes whoever comes.
func cases() []testCase {
	return []testCase{
		{"open for nobody", Request{Function: "open"}, 200, 0, anonymous},
		{"open with the client key", Request{Function: "open", APIKey: APIKey}, 200, 0, anonymous},
		{"open with the master key", Request{Function: "open", APIKey: MasterKey}, 200, 0, asMaster},
		{"open ignores a wrong key", Request{Function: "open", APIKey: "wrong"}, 200, 0, anonymous},
		{"open ignores a wrong token", Request{Function: "open", APIKey: APIKey, Token: "wrong"}, 200, 0, anonymous},
		{"keyed for nobody", Request{Function: "keyed"}, 401, 101, ""},
		{"keyed with the client key", Request{Function: "keyed", APIKey: APIKey}, 200, 0, anonymous},
		{"keyed with the master key", Request{Function: "keyed", APIKey: MasterKey}, 200, 0, asMaster},
		{"keyed with a wrong key", Request{Function: "keyed", APIKey: "wrong"}, 401, 103, ""},
		{"keyed with a wrong token", Request{Function: "keyed", APIKey: APIKey, Token: "wrong"}, 401, 104, ""},
		{"personal for nobody", Request{Function: "personal"}, 401, 101, ""},
		{"personal with the client key", Request{Function: "personal", APIKey: APIKey}, 401, 101, ""},
		{"personal with the master key", Request{Function: "personal", APIKey: MasterKey}, 200, 0, asGod},
		{"personal with a wrong key", Request{Function: "personal", APIKey: "wrong"}, 401, 103, ""},
		{"personal with a wrong token", Request{Function: "personal", APIKey: APIKey, Token: "wrong"}, 401, 104, ""},
		{"open with a token", Request{Function: "open", Token: AnnsToken}, 200, 0, annWithRoles},
		{"keyed with a token alone", Request{Function: "keyed", Token: AnnsToken}, 200, 0, annWithRoles},
		{"personal with a token alone", Request{Function: "personal", Token: AnnsToken}, 200, 0, annWithRoles},
		{"personal with a token and the master key", Request{Function: "personal", APIKey: MasterKey, Token: AnnsToken}, 200, 0, annWithMaster},
		{"a wrong key beside a token", Request{Function: "personal", APIKey: "wrong", Token: AnnsToken}, 401, 103, ""},
		{"open for a disabled user", Request{Function: "open", Token: bobsToken}, 200, 0, anonymous},
		{"keyed for a disabled user", Request{Function: "keyed", APIKey: APIKey, Token: bobsToken}, 200, 0, anonymous},
		{"a disabled user's token is no key", Request{Function: "keyed", Token: bobsToken}, 401, 101, ""},
		{"personal for a disabled user", Request{Function: "personal", APIKey: APIKey, Token: bobsToken}, 403, 127, ""},
		{"personal with the master key for a disabled user", Request{Function: "personal", APIKey: MasterKey, Token: bobsToken}, 403, 127, ""},
		{"open with a token of before", Request{Function: "open", Token: carlsToken}, 200, 0, anonymous},
		{"personal with a token of before", Request{Function: "personal", Token: carlsToken}, 401, 104, ""},
		{"open without an account", Request{Function: "open", Token: goneToken}, 200, 0, anonymous},
		{"personal without an account", Request{Function: "personal", Token: goneToken}, 500, 10001, ""},
		{"open with an expired token", Request{Function: "open", Token: expiredToken}, 200, 0, anonymous},
		{"keyed with an expired token", Request{Function: "keyed", Token: expiredToken}, 401, 104, ""},
		{"personal with an expired token", Request{Function: "personal", APIKey: APIKey, Token: expiredToken}, 401, 104, ""},
		{"a name with a slash", Request{Function: "shop/refuse"}, 409, 109, ""},
		{"a name with a colon", Request{Function: "shop:refuse"}, 409, 109, ""},
		{"a name that is not known", Request{Function: "opn"}, 404, 117, ""},
		{"a panic", Request{Function: "crash"}, 500, 10000, ""},
		{"arguments", Request{Function: "open", Args: `{"note":"hi"}`}, 200, 0, `{"user":"","master":false,"note":"hi"}`},
		{"an unknown argument", Request{Function: "open", Args: `{"not":"hi"}`}, 400, 108, ""},
		{"a wrong type", Request{Function: "open", Args: `{"note":7}`}, 400, 108, ""},
		{"an array of arguments", Request{Function: "open", Args: `["hi"]`}, 400, 108, ""},
		{"null for arguments", Request{Function: "open", Args: `null`}, 400, 108, ""},
	}
}

// canonical makes texts comparable that differ in space and order only.
func canonical(t *testing.T, text string) json.RawMessage {
	t.Helper()
	var v any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%q is not JSON: %v", text, err)
	}
	out, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return out
}
