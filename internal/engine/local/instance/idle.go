package instance

// Freeze stops all processes of the instance.
func (i *Instance) Freeze() error {
	if i.Upstream.Foreign { // a frozen server misses its idle timeouts and closes the connections when it runs again
		i.Upstream.CloseIdle()
	}
	return i.Sandboxed.Freeze()
}

// Thaw lets a frozen instance run again.
func (i *Instance) Thaw() error { return i.Sandboxed.Thaw() }

// Reclaim asks the host to reclaim the memory of a frozen instance.
func (i *Instance) Reclaim() error { return i.Sandboxed.Reclaim() }
