// Package telemetry is how the server tells what it does: structured logs without secrets, request
// ids, metrics.
//
// Way in: NewLogger, whose every line passes through Redact; RequestID for the id that a context
// carries; NewMetrics, where a room counts with Counter.
package telemetry
