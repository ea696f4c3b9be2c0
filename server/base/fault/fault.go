package fault

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"
)

// Code says what kind of failure an error is. The set is closed: every door maps every code.
type Code string

// The codes. The comment says what the caller did, or what we could not do.
const (
	Internal             Code = "internal"              // a defect or a broken dependency of ours
	Unauthenticated      Code = "unauthenticated"       // no credentials where some are needed
	Denied               Code = "denied"                // known caller, not allowed
	Unprivileged         Code = "unprivileged"          // neither an administrator nor the master key
	KeyRefused           Code = "key_refused"           // an API key that is not ours
	TokenRefused         Code = "token_refused"         // an access token that is unknown or expired
	CredentialsRefused   Code = "credentials_refused"   // wrong password or the like
	SignatureRefused     Code = "signature_refused"     // a signature that does not verify
	BadRequest           Code = "bad_request"           // the request as a whole cannot be read
	Invalid              Code = "invalid"               // a named argument is wrong
	Duplicate            Code = "duplicate"             // it exists already
	NotFound             Code = "not_found"             // it does not exist
	NotSupported         Code = "not_supported"         // this installation cannot do it
	NotImplemented       Code = "not_implemented"       // nobody can do it yet
	Constraint           Code = "constraint"            // something else still depends on it
	Incompatible         Code = "incompatible"          // it contradicts the stored schema
	AtomicFailure        Code = "atomic_failure"        // one part failed, so nothing was done
	PartialFailure       Code = "partial_failure"       // some parts failed
	UnknownOperation     Code = "unknown_operation"     // no such action, function or path
	MethodRefused        Code = "method_refused"        // the path exists, the HTTP method does not
	Unavailable          Code = "unavailable"           // try again later
	UpstreamTimeout      Code = "upstream_timeout"      // somebody we asked took too long
	QueryInvalid         Code = "query_invalid"         // a query names what does not exist
	Initializing         Code = "initializing"          // still starting
	Timeout              Code = "timeout"               // we took too long
	ArgumentDenied       Code = "argument_denied"       // a field that the caller may not write
	QueryDenied          Code = "query_denied"          // a field that the caller may not search by
	NotConfigured        Code = "not_configured"        // the feature needs configuration
	PolicyViolated       Code = "policy_violated"       // a password policy says no
	PasswordExpired      Code = "password_expired"      // a password policy wants a new one first
	Disabled             Code = "disabled"              // the account is switched off
	VerificationRequired Code = "verification_required" // the account is not verified yet
	TooLarge             Code = "too_large"             // the body is over the limit
	AssetTooLarge        Code = "asset_too_large"       // a file is over the limit
	MediaType            Code = "media_type"            // a content type that is not understood
	RateLimited          Code = "rate_limited"          // too many requests
	IdempotencyConflict  Code = "idempotency_conflict"  // the key was used for something else, or is in use
	DatabaseUnavailable  Code = "database_unavailable"  // PostgreSQL cannot be reached
	AccountMissing       Code = "account_missing"       // credentials of an account that is gone
	Custom               Code = "custom"                // an app's own failure; its Number tells which
	UserMissing          Code = "user_missing"          // an account without its user record
	PushNotConfigured    Code = "push_not_configured"   // there is nobody to send notices through
	QueryBroken          Code = "query_broken"          // a stored query that cannot be understood
)

// Error is a failure with everything a door and a log need.
type Error struct {
	Code    Code           // closed set, decides the status
	Reason  string         // dotted and unique: "records.schema_conflict"
	Message string         // safe to show
	Details map[string]any // machine-readable facts; {"arguments": ["field"]} for Invalid
	cause   error

	Number     int           // of a Custom error
	RetryAfter time.Duration // when another attempt is worth it; 0: not known
}

// New returns an Error. The message must be safe to show to the caller.
func New(code Code, reason, format string, args ...any) *Error {
	return &Error{Code: code, Reason: reason, Message: fmt.Sprintf(format, args...)}
}

// Wrap returns an Error that keeps cause for the log and for errors.Is.
func Wrap(cause error, code Code, reason, format string, args ...any) *Error {
	e := New(code, reason, format, args...)
	e.cause = cause
	return e
}

// Argument returns an Invalid error about one named argument.
func Argument(reason, argument, format string, args ...any) *Error {
	return New(Invalid, reason, format, args...).With("arguments", []string{argument})
}

// With returns a copy of e that carries one more detail.
func (e *Error) With(key string, value any) *Error {
	c := *e
	c.Details = maps.Clone(e.Details)
	if c.Details == nil {
		c.Details = map[string]any{}
	}
	c.Details[key] = value
	return &c
}

// Error returns reason, message and cause: the text for the log. Never send it to a client.
func (e *Error) Error() string {
	s := e.Reason + ": " + e.Message
	if e.cause != nil {
		s += ": " + e.cause.Error()
	}
	return s
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.cause }

// From returns the *Error inside err. A context error becomes Timeout or Unavailable and anything
// else Internal, with a message that reveals nothing and err as its cause. From(nil) is nil.
func From(err error) *Error {
	if err == nil {
		return nil
	}
	return of(err)
}

// of is apart because what it declares is allocated even when there is no error.
func of(err error) *Error {
	var e *Error
	switch {
	case errors.As(err, &e):
		return e
	case errors.Is(err, context.DeadlineExceeded):
		return Wrap(err, Timeout, "fault.deadline", "the request took too long")
	case errors.Is(err, context.Canceled):
		return Wrap(err, Unavailable, "fault.canceled", "the request was cancelled")
	}
	return Wrap(err, Internal, "fault.internal", "an unexpected error occurred")
}

// Is says whether err carries this reason.
func Is(err error, reason string) bool {
	if err == nil { // most ask this of calls that went well, and the variable costs memory
		return false
	}
	var e *Error
	return errors.As(err, &e) && e.Reason == reason
}

// HasCode says whether err carries this code.
func HasCode(err error, code Code) bool {
	e := From(err)
	return e != nil && e.Code == code
}
