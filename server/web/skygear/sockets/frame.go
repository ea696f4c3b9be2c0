package sockets

import (
	"encoding/json"
	"unicode/utf8"

	"crema/server/base/fault"
)

// frame is what a client sends. Wire: skygear §2.10.
type frame struct {
	Action  string          `json:"action"`
	Channel string          `json:"channel"`
	Data    json.RawMessage `json:"data"` // one value, verbatim
}

// maxEnvelope is what a frame may have beside its data, in bytes.
const maxEnvelope = 4 << 10

// decode reads a frame. Text that is not UTF-8 is refused here, because browsers drop the socket that
// brings it to them.
func decode(text []byte) (frame, error) {
	var f frame
	if !utf8.Valid(text) {
		return f, fault.New(fault.BadRequest, "sockets.frame", "the frame is not valid UTF-8")
	}
	if err := json.Unmarshal(text, &f); err != nil {
		return f, fault.New(fault.BadRequest, "sockets.frame", "the frame is not one JSON object with the texts action and channel")
	}
	return f, nil
}
