package instance

import "github.com/lateen-dev/lateen/internal/engine"

// Usage returns the resources that the process has used since it got the function.
// The memory includes the platform's buffers for its connections.
func (i *Instance) Usage() engine.Usage {
	held, peak := i.Link.Held()
	if i.Gone() {
		return i.withDelay(engine.Usage{CPU: max(i.State.CPU-i.bootCPU, 0), Peak: i.State.Peak + peak, Outbound: i.Link.Outbound()})
	}
	u, err := i.Sandboxed.Usage()
	if err != nil {
		return engine.Usage{} // the process is ending at this moment
	}
	return i.withDelay(engine.Usage{CPU: max(u.CPU-i.bootCPU, 0), Memory: u.Memory + held, Peak: u.Peak + peak, Outbound: i.Link.Outbound()})
}

// withDelay adds the event loop delay that the process has reported.
func (i *Instance) withDelay(u engine.Usage) engine.Usage {
	i.mu.Lock()
	defer i.mu.Unlock()
	u.Ticks, u.Late = i.ticks, i.late
	return u
}
