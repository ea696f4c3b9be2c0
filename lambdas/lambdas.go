// Package lambdas holds the functions of this app. Each is a plain Go function with its own input and
// output structs; All makes them callable as POST /lambda/<name> and through Skygear clients.
package lambdas

import "crema/server/lambda"

// All returns every function of this app, one line each.
func All() []lambda.Function {
	return []lambda.Function{
		lambda.Op("echo", echo),
		lambda.Op("create_checkout", createCheckout),
		lambda.Op("process_payment", processPayment),
	}
}
