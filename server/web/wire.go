package web

import (
	"fmt"
	"maps"

	"crema/server/base/fault"
)

// WireError is the error object that every door sends.
type WireError struct {
	Name    string         `json:"name"`
	Code    int            `json:"code"`
	Message string         `json:"message"`
	Info    map[string]any `json:"info,omitempty"`
	Status  int            `json:"-"` // HTTP
}

type wireCode struct {
	name   string
	code   int
	status int
}

// wireCodes is the one table from fault codes to the wire: Skygear v1's names and numbers with their
// HTTP statuses. Codes that Skygear lacks use its nearest name and the status that HTTP has for them.
var wireCodes = map[fault.Code]wireCode{
	fault.Unauthenticated:      {"NotAuthenticated", 101, 401},
	fault.Denied:               {"PermissionDenied", 102, 403},
	fault.Unprivileged:         {"PermissionDenied", 102, 401},
	fault.KeyRefused:           {"AccessKeyNotAccepted", 103, 401},
	fault.TokenRefused:         {"AccessTokenNotAccepted", 104, 401},
	fault.CredentialsRefused:   {"InvalidCredentials", 105, 401},
	fault.SignatureRefused:     {"InvalidSignature", 106, 401},
	fault.BadRequest:           {"BadRequest", 107, 400},
	fault.Invalid:              {"InvalidArgument", 108, 400},
	fault.Duplicate:            {"Duplicated", 109, 409},
	fault.NotFound:             {"ResourceNotFound", 110, 404},
	fault.NotSupported:         {"NotSupported", 111, 501},
	fault.NotImplemented:       {"NotImplemented", 112, 501},
	fault.Constraint:           {"ConstraintViolated", 113, 409},
	fault.Incompatible:         {"IncompatibleSchema", 114, 409},
	fault.AtomicFailure:        {"AtomicOperationFailure", 115, 409},
	fault.PartialFailure:       {"PartialOperationFailure", 116, 200},
	fault.UnknownOperation:     {"UndefinedOperation", 117, 404},
	fault.Unavailable:          {"PluginUnavailable", 118, 503},
	fault.UpstreamTimeout:      {"PluginTimeout", 119, 504},
	fault.QueryInvalid:         {"RecordQueryInvalid", 120, 400},
	fault.Initializing:         {"PluginInitializing", 121, 503},
	fault.Timeout:              {"ResponseTimeout", 122, 503},
	fault.ArgumentDenied:       {"DeniedArgument", 123, 403},
	fault.QueryDenied:          {"RecordQueryDenied", 124, 403},
	fault.NotConfigured:        {"NotConfigured", 125, 503},
	fault.PolicyViolated:       {"PasswordPolicyViolated", 126, 500},
	fault.PasswordExpired:      {"PasswordPolicyViolated", 126, 401},
	fault.Disabled:             {"UserDisabled", 127, 403},
	fault.VerificationRequired: {"VerificationRequired", 128, 403},
	fault.AssetTooLarge:        {"AssetSizeTooLarge", 129, 500},
	fault.Internal:             {"UnexpectedError", 10000, 500},
	fault.AccountMissing:       {"UnexpectedAuthInfoNotFound", 10001, 500},
	fault.DatabaseUnavailable:  {"UnexpectedUnableToOpenDatabase", 10002, 503},
	fault.PushNotConfigured:    {"UnexpectedPushNotificationNotConfigured", 10003, 500},
	fault.QueryBroken:          {"InternalQueryInvalid", 10004, 500},
	fault.UserMissing:          {"UnexpectedUserNotFound", 10005, 500},

	fault.MethodRefused:       {"UndefinedOperation", 117, 405},
	fault.TooLarge:            {"BadRequest", 107, 413},
	fault.MediaType:           {"BadRequest", 107, 415},
	fault.RateLimited:         {"PluginUnavailable", 118, 429},
	fault.IdempotencyConflict: {"Duplicated", 109, 409},
}

// Wire returns what the caller may know of err. It is never empty and reveals no cause.
func Wire(err error) WireError {
	f := fault.From(err)
	c, ok := wireCodes[f.Code]
	switch {
	case f.Code == fault.Custom: // Wire: numbers that Skygear has no name for are named like this
		c = wireCode{fmt.Sprintf("ErrorCode(%d)", f.Number), f.Number, 500}
	case !ok:
		c = wireCodes[fault.Internal]
	}
	return WireError{Name: c.name, Code: c.code, Message: f.Message, Info: wireInfo(f.Details), Status: c.status}
}

// wireInfo turns the errors inside details into error objects of the wire.
func wireInfo(details map[string]any) map[string]any {
	out := maps.Clone(details)
	for k, v := range details {
		if w := wireValue(v); w != nil {
			out[k] = w
		}
	}
	return out
}

// wireValue returns nil for what needs no change.
func wireValue(v any) any {
	switch v := v.(type) {
	case *fault.Error:
		return Wire(v)
	case []*fault.Error:
		list := make([]WireError, len(v))
		for i, e := range v {
			list[i] = Wire(e)
		}
		return list
	}
	return nil
}
