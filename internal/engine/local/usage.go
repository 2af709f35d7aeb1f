package local

import "github.com/lateen-dev/lateen/internal/engine"

// Usage is what it has used since it became a function. Its memory is that of
// its processes and what the platform holds for its connections.
func (i *instance) Usage() engine.Usage {
	held, peak := i.outside.held()
	if isClosed(i.exited) {
		return i.withDelay(engine.Usage{CPU: max(i.state.CPU-i.booted, 0), Peak: i.state.Peak + peak, Outbound: i.outside.outbound()})
	}
	u, err := i.process.Usage()
	if err != nil {
		return engine.Usage{} // it ends at this very moment
	}
	return i.withDelay(engine.Usage{CPU: max(u.CPU-i.booted, 0), Memory: u.Memory + held, Peak: u.Peak + peak, Outbound: i.outside.outbound()})
}

// withDelay adds what the process has said of its event loop.
func (i *instance) withDelay(u engine.Usage) engine.Usage {
	i.mu.Lock()
	defer i.mu.Unlock()
	u.Ticks, u.Late = i.ticks, i.late
	return u
}
