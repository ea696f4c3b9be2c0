// Package rpc is the door to functions: POST /lambda/<name> with a JSON object as arguments answers
// {"result": ...} or {"error": {"name", "code", "message", "info"}}.
//
// Credentials come in the headers X-Skygear-Api-Key and X-Skygear-Access-Token. With the header
// Idempotency-Key the function runs once for this caller and key; an answer that was given before
// carries Idempotent-Replayed: true. A body that is not labelled as JSON is refused with 415.
package rpc
