// Package sandboxtest drives a sandbox the way clients do, for the sandbox's own tests and for the judges
// that check every answer against Stripe's published schemas. It imports testing: for tests only.
package sandboxtest
