package web_test

import (
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"crema/server/base/fault"
	"crema/server/web"
)

// wireTable is that of the specification, skygear §1.6: number, name, HTTP status, and what produces it.
const wireTable = `
101 NotAuthenticated 401 unauthenticated
102 PermissionDenied 403 denied
102 PermissionDenied 401 unprivileged
103 AccessKeyNotAccepted 401 key_refused
104 AccessTokenNotAccepted 401 token_refused
105 InvalidCredentials 401 credentials_refused
106 InvalidSignature 401 signature_refused
107 BadRequest 400 bad_request
108 InvalidArgument 400 invalid
109 Duplicated 409 duplicate
110 ResourceNotFound 404 not_found
111 NotSupported 501 not_supported
112 NotImplemented 501 not_implemented
113 ConstraintViolated 409 constraint
114 IncompatibleSchema 409 incompatible
115 AtomicOperationFailure 409 atomic_failure
116 PartialOperationFailure 200 partial_failure
117 UndefinedOperation 404 unknown_operation
118 PluginUnavailable 503 unavailable
119 PluginTimeout 504 upstream_timeout
120 RecordQueryInvalid 400 query_invalid
121 PluginInitializing 503 initializing
122 ResponseTimeout 503 timeout
123 DeniedArgument 403 argument_denied
124 RecordQueryDenied 403 query_denied
125 NotConfigured 503 not_configured
126 PasswordPolicyViolated 500 policy_violated
126 PasswordPolicyViolated 401 password_expired
127 UserDisabled 403 disabled
128 VerificationRequired 403 verification_required
129 AssetSizeTooLarge 500 asset_too_large
10000 UnexpectedError 500 internal
10001 UnexpectedAuthInfoNotFound 500 account_missing
10002 UnexpectedUnableToOpenDatabase 503 database_unavailable
10003 UnexpectedPushNotificationNotConfigured 500 push_not_configured
10004 InternalQueryInvalid 500 query_broken
10005 UnexpectedUserNotFound 500 user_missing
117 UndefinedOperation 405 method_refused
107 BadRequest 413 too_large
107 BadRequest 415 media_type
118 PluginUnavailable 429 rate_limited
109 Duplicated 409 idempotency_conflict`

func TestWire_TableT4(t *testing.T) {
	t.Parallel()
	known := map[string]bool{}
	for line := range strings.Lines(strings.TrimSpace(wireTable)) {
		f := strings.Fields(line)
		got := web.Wire(fault.New(fault.Code(f[3]), "test.reason", "why").With("k", "v"))
		if strconv.Itoa(got.Code) != f[0] || got.Name != f[1] || strconv.Itoa(got.Status) != f[2] || got.Message != "why" || got.Info["k"] != "v" {
			t.Errorf("%s: got %+v", line, got)
		}
		known[f[3]] = true
	}
	known[string(fault.Custom)] = true // its number is the function's
	for _, code := range declaredCodes(t) {
		if !known[code] {
			t.Errorf("fault code %q is not in the table of this test", code)
		}
		if code != "internal" && code != "custom" && web.Wire(fault.New(fault.Code(code), "r", "m")).Code == 10000 {
			t.Errorf("fault code %q has no place on the wire", code)
		}
	}
}

// declaredCodes reads the constants of type Code from the source.
func declaredCodes(t *testing.T) []string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "../base/fault/fault.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var codes []string
	ast.Inspect(file, func(n ast.Node) bool {
		v, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		name, isName := v.Type.(*ast.Ident)
		if lit, isText := first(v.Values).(*ast.BasicLit); isName && isText && name.Name == "Code" {
			codes = append(codes, strings.Trim(lit.Value, `"`))
		}
		return true
	})
	if len(codes) < 35 {
		t.Fatalf("found %d codes", len(codes))
	}
	return codes
}

func first(list []ast.Expr) ast.Expr {
	if len(list) == 0 {
		return nil
	}
	return list[0]
}

func TestWire_HidesCausesAndNamesNestedErrors(t *testing.T) {
	t.Parallel()
	cause := errors.New("password=hunter2")
	for _, err := range []error{cause, fault.Wrap(cause, fault.Denied, "test.reason", "no")} {
		if b, _ := json.Marshal(web.Wire(err)); strings.Contains(string(b), "hunter2") || strings.Contains(string(b), "test.reason") {
			t.Errorf("a cause or a reason is told: %s", b)
		}
	}
	nested := fault.New(fault.AtomicFailure, "test.reason", "no").With("note/1", fault.Wrap(cause, fault.ArgumentDenied, "test.inner", "title"))
	b, err := json.Marshal(web.Wire(nested))
	want := `{"name":"AtomicOperationFailure","code":115,"message":"no","info":{"note/1":{"name":"DeniedArgument","code":123,"message":"title"}}}`
	if err != nil || string(b) != want {
		t.Errorf("got %s, %v", b, err)
	}
}

// The page that users read says the same as the table.
func TestWire_DocumentedAsItIs(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../docs/errors.md")
	if err != nil {
		t.Fatal(err)
	}
	var documented []string
	for _, m := range regexp.MustCompile(`(?m)^\| (\d+) \| (\w+) \| (\d+) \|`).FindAllStringSubmatch(string(page), -1) {
		documented = append(documented, strings.Join(m[1:], " "))
	}
	var real []string
	for line := range strings.Lines(strings.TrimSpace(wireTable)) {
		f := strings.Fields(line)
		real = append(real, strings.Join(f[:3], " "))
	}
	slices.Sort(documented)
	slices.Sort(real)
	if diff := cmp.Diff(slices.Compact(real), documented); diff != "" {
		t.Error(diff)
	}
}
