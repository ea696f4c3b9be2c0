// Package proc runs child processes that are not trusted to behave: each in a process group of its own,
// with a clean environment, limits, no way to more privileges, and sockets that nobody else can reach.
//
// Way in: Start; Pair, OpenOutput and KillGroup for processes that another child has forked for us.
//
// A child talks to us through socketpairs, its descriptors from 3 on. Messages are frames: the length of
// the body as four bytes, a type, flags, a call's id as eight bytes, all in network order, then the body.
// Descriptors 1 and 2 are logs: they are read line by line, and the last lines are kept for error messages.
//
// Invariants:
//   - A child dies with this process: the kernel kills it on Linux, and its sockets end everywhere.
//   - Limits stand before the program begins: a shell sets them and becomes the program.
//   - Nothing of the environment is inherited.
//   - Output can be as much as it likes: lines are cut at 64 KiB, and too many a second are counted, not kept.
package proc
