// Package workers runs the functions that are written in Python and JavaScript: in warm processes that are
// started before they are needed, each serving many calls.
//
// Way in: Open, Pool.Registered, Pool.Call. One pool serves one folder in one language.
//
// A worker is a process of base/proc. Python workers are forked from a parent that has imported what the
// functions use; each has a few threads with a socket of their own. A JavaScript worker has one socket for
// all of its calls.
//
// Invariants:
//   - A call ends at its deadline for its caller, whatever its code does. The worker takes no new calls
//     then, gets a moment for the others that it runs, and is killed with all of its processes.
//   - When a worker dies, only the calls that it ran fail; they are never tried again by themselves.
//   - A call that a function makes through the server never waits behind others in the queue, so that
//     functions that call functions cannot block each other. It may nest 8 levels deep.
//   - The queue is bounded, in length and in time. What does not fit is refused at once and may come again.
package workers
