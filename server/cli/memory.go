package cli

import (
	"os"
	"runtime"
)

// heapRoom is how much the server's heap may grow at least before the garbage collector runs, in bytes.
const heapRoom = 64 << 20

// holdHeapRoom keeps the collector from running all the time. It runs when the heap has doubled, and
// the heap of a small app is a few megabytes, which a busy server makes dozens of times in a second.
// The block counts as heap; nobody ever touches it, so it takes no memory. An operator who sets GOGC or
// GOMEMLIMIT decides instead. The returned function gives the block back.
func holdHeapRoom() (release func()) {
	if os.Getenv("GOGC") != "" || os.Getenv("GOMEMLIMIT") != "" {
		return func() {}
	}
	block := make([]byte, heapRoom)
	return func() { runtime.KeepAlive(block) }
}
