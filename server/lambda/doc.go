// Package lambda is what a cloud function written in Go imports. It needs the standard library only.
//
// A function is a plain Go function with its own input and output types:
//
//	func quote(ctx context.Context, c *lambda.Call, in QuoteIn) (QuoteOut, error)
//
//	lambda.Op("quote", quote, lambda.UserRequired())
//
// Arguments are one JSON object. A field of the input struct that is neither a pointer nor tagged
// `lambda:"optional"` must be sent; a field that the struct does not have is refused; both answers
// name the field. The same holds for structs inside it. ctx ends at the function's deadline or when the
// caller goes away. A panic is an internal error of that call only.
//
// HTTP declares a handler, Every a timer, BeforeSave and the like a hook, Provides an auth provider, On a listener of
// events: all that functions in Python and JavaScript can be.
package lambda
