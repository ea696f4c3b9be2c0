// Package fanout has what the benchmark needs for websockets: a client that costs little for each socket, and
// the bare hub that ours is measured against.
//
// Way in: Gather for one publisher and its crowd, Idle for sockets that do nothing, Floor for the bare hub.
package fanout
