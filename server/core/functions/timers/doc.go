// Package timers starts functions by the clock.
//
// Way in: New, Service.Start, Service.Stop; Parse checks a schedule.
//
// Table: _timer_run, one row for each tick that was started, kept for a day.
//
// Invariants:
//   - However many servers run on a database, a tick is started once: whoever writes its row starts it.
//   - Ticks are the same on all servers. Times are UTC, and @every counts from the epoch, so that a restart or a
//     deploy does not shift it.
//   - A tick that no server was there for is left out, and so is one that is noticed more than a minute late. A new
//     version on the same server leaves none out. A run ends with its server; it is not started again elsewhere.
//     While the database is away a tick waits for it, until it is late; one of which the row was written and the answer lost is lost too.
//   - A run that takes longer than the interval does not hold up the next one.
package timers
