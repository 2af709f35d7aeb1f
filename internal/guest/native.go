package guest

import (
	"encoding/binary"
	"fmt"
	"io"
)

// ForkLibrary is the name of the file beside the agent that gives Node.js
// fork. It is to be loaded before anything else (LD_PRELOAD) in a process that
// will fork, and again by its agent.
const ForkLibrary = "fork.node"

// ZygoteLibrary is the name of the file beside the agent that lets a process
// fork into empty sandboxes. Its agent loads it besides [ForkLibrary].
const ZygoteLibrary = "zygote.node"

// Forks reports whether there are a [ForkLibrary] and a [ZygoteLibrary] for this
// machine.
func Forks() bool { return native != nil }

// Range is a piece of a process's memory, of whole pages.
type Range struct {
	From, Bytes uint64
	Written     bool // and not only read
}

// Settle has a template's child go on, which stands still twice: once it is
// forked, and once it takes requests at the next word. It makes memory present
// first, as far as it can.
func Settle(w io.Writer, memory []Range) error {
	var message []byte
	for _, r := range append(memory[:len(memory):len(memory)], Range{}) {
		if r.Written {
			r.Bytes |= 1
		}
		message = binary.NativeEndian.AppendUint64(message, r.From)
		message = binary.NativeEndian.AppendUint64(message, r.Bytes)
	}
	if _, err := w.Write(message); err != nil {
		return fmt.Errorf("have a child go on: %w", err)
	}
	return nil
}
