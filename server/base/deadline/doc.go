// Package deadline makes deadlines cheap for work that nearly always ends long before: a Context
// starts a timer only when somebody asks for Done, and a Watch needs one timer for all that it watches.
//
// Both together replace context.WithDeadline and time.AfterFunc where each request would pay for them.
package deadline
