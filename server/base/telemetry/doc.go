// Package telemetry is how the server tells what it does: structured logs without secrets, request
// ids, metrics.
package telemetry
