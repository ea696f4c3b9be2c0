// Package sockets is the door of the pubsub room: the websockets /pubsub and /_/pubsub of Skygear v1, one
// for each hub. A client sends {"action":"sub"|"unsub"|"pub","channel":...,"data":...} and gets
// {"channel":...,"data":...}; nothing is acknowledged.
//
// Way in: New, then Register on the router; Stop closes all sockets.
//
// A socket is two goroutines: one reads and acts, one writes what waits for the member of the room. The
// handler returns as soon as the socket stands, so that nothing of its request stays in memory and the
// access log has its line at once.
package sockets
