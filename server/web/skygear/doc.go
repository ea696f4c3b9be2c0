// Package skygear is the door that speaks the wire of Skygear v1: one JSON object in, one envelope out,
// on every path that no other door owns. Actions are looked up by path first ("/record/save"), then by
// the body's "action".
//
// Way in: New, then ServeHTTP for everything that is left of the path space. It has the actions of the
// wire and every function of the functions room. Every file of actions offers them as a map, which
// actions.go merges; the chains of checks that they can ask for stand there too.
package skygear
