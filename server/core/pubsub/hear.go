package pubsub

import (
	"log/slog"
	"strings"
	"time"
)

// hearing puts the batches of the other servers together. It belongs to the goroutine of the listener.
type hearing struct {
	self    string
	log     *slog.Logger
	deliver func(message)
	echo    func()            // this server has heard itself
	other   func(node string) // or another one
	nodes   map[string]*node
	lastLog time.Time
	missed  uint64
}

// node is one run of another server.
type node struct {
	last  uint64 // the batch that is complete
	parts int    // of the next one, that have come
	text  strings.Builder
	seen  time.Time
}

// forgetAfter is for how long a server that says nothing is remembered.
const forgetAfter = time.Hour

// maxParts bounds a batch: it is larger than maxBatch when it is one large message.
const maxParts = (MaxMessageBytes+maxBatch)/maxPart + 1

func (h *hearing) hear(payload string, again bool) {
	if again {
		h.log.Warn("messages of other servers may be missing: the line to the database was lost, or they came too fast")
		return
	}
	head, text, ok := splitPart(payload)
	switch {
	case !ok:
		h.log.Warn("pubsub heard a notice that it cannot read; another version of the server may be running")
	case head.node == h.self:
		h.echo()
	case head.node == nobody:
		h.whole(text)
	case head.parts <= maxParts:
		h.other(head.node)
		h.part(head, text)
	}
}

func (h *hearing) part(head header, text string) {
	n := h.nodes[head.node]
	if n == nil { // what it sent before is not for us
		h.forget()
		n = &node{last: head.batch - 1}
		h.nodes[head.node] = n
	}
	n.seen = time.Now()
	if head.batch <= n.last { // sent twice
		return
	}
	if head.batch > n.last+1 {
		h.miss(head.batch - n.last - 1)
		n.last, n.parts = head.batch-1, 0
	}
	if head.part == 1 {
		n.parts = 0
		n.text.Reset()
	}
	if head.part != n.parts+1 { // its beginning is missing; the next batch will tell
		n.parts = 0
		return
	}
	n.text.WriteString(text)
	if n.parts++; n.parts < head.parts {
		return
	}
	whole := n.text.String()
	n.text.Reset()
	n.last, n.parts = head.batch, 0
	h.whole(whole)
}

func (h *hearing) whole(text string) {
	if !unpack(text, h.deliver) {
		h.log.Warn("pubsub heard a batch that it cannot read; another version of the server may be running")
	}
}

// miss tells of lost batches, and no more than once in a second.
func (h *hearing) miss(batches uint64) {
	h.missed += batches
	if now := time.Now(); now.Sub(h.lastLog) > time.Second {
		h.log.Warn("messages of another server are missing", "batches", h.missed)
		h.missed, h.lastLog = 0, now
	}
}

func (h *hearing) forget() {
	for name, n := range h.nodes {
		if time.Since(n.seen) > forgetAfter {
			delete(h.nodes, name)
		}
	}
}
