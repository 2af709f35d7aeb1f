package guest

import (
	"encoding/binary"
	"fmt"
	"io"
)

// ForkLibrary is the name of the file beside the agent that gives Node.js fork(2). A
// process that will fork must load it before any other library (LD_PRELOAD); its agent
// loads it again.
const ForkLibrary = "fork.node"

// ZygoteLibrary is the name of the file beside the agent that lets a process fork into
// empty sandboxes. Its agent loads it in addition to [ForkLibrary].
const ZygoteLibrary = "zygote.node"

// Forks reports whether this machine has a [ForkLibrary] and a [ZygoteLibrary].
func Forks() bool { return native != nil }

// Range is a range of a process's memory in whole pages.
type Range struct {
	From, Bytes uint64
	Written     bool // written, not only read
}

// Settle resumes the child of a template process. The child stops twice: after the
// fork, and when it is ready for requests. Before it goes on, it makes the ranges of
// memory resident, as far as it can.
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
		return fmt.Errorf("resume a forked child: %w", err)
	}
	return nil
}
