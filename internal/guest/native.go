package guest

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
