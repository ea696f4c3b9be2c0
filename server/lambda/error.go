package lambda

// Error is a failure that the caller may see. Any other error is internal and stays in the log.
type Error struct {
	Kind    Kind
	Message string
	Info    map[string]any
}

// Kind decides code and status on the wire.
type Kind string

// The kinds a function may answer with.
const (
	Invalid  Kind = "invalid"   // an argument is wrong: 400
	Denied   Kind = "denied"    // 403
	NotFound Kind = "not_found" // 404
	Conflict Kind = "conflict"  // 409
	Busy     Kind = "busy"      // 503, try again later
)

// Error returns the message.
func (e *Error) Error() string { return e.Message }

// InvalidArgument says which argument is wrong and how to mend it.
func InvalidArgument(argument, message string) *Error {
	return &Error{Kind: Invalid, Message: message, Info: map[string]any{"arguments": []string{argument}}}
}

// ArgumentsError says that arguments do not fit a function's input struct. The server turns it into an
// answer that names the field; functions have no use for it.
type ArgumentsError struct{ Err error }

// Error returns what encoding/json said.
func (e *ArgumentsError) Error() string { return e.Err.Error() }

// Unwrap returns the error of encoding/json.
func (e *ArgumentsError) Unwrap() error { return e.Err }
