package guest

// ForkLibrary is the name of the file beside the agent that gives Node.js
// fork. It is to be loaded before anything else (LD_PRELOAD) in a process that
// will fork, and again by its agent.
const ForkLibrary = "fork.node"

// Forks reports whether there is a [ForkLibrary] for this machine.
func Forks() bool { return native != nil }
