// Package logs gives operators the lines that functions log, those of every server of the app.
//
// Way in: New, Service.Start, Service.Listen, Service.Stop.
//
// Nothing leaves a server that nobody listens to: whoever listens asks the others, on a hub of pubsub that is theirs alone,
// and says again that it does; who is not asked again sends no more.
//
// Invariants:
//   - A listener never holds up a function or a server: who is too slow is ended, what is too much is left out and told.
//   - Lines of one server keep their order. Lines of the past are put in order by their times, as far as clocks agree.
//   - A server that dies, or that the database cannot reach, is missing, and nobody waits for it.
package logs
