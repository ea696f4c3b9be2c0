// Package provider is the only user of stripe-go: it sends what the payments room decides and turns
// every reply, error and silence into an Outcome.
//
// There are three kinds of outcome: done, refused, unknown. What a reply proves depends on what came
// before it, so whoever calls says whether an earlier try may have been executed. Errors of stripe-go
// never leave this package: their text is the provider's whole reply.
package provider
