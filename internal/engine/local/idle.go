package local

// Freeze stops all processes of the instance.
func (i *instance) Freeze() error {
	if i.Upstream.Foreign { // a frozen server misses its idle timeouts and closes the connections when it runs again
		i.Upstream.CloseIdle()
	}
	return i.Sandboxed.Freeze()
}

// Thaw lets a frozen instance run again.
func (i *instance) Thaw() error { return i.Sandboxed.Thaw() }

// Reclaim asks the host to reclaim the memory of a frozen instance.
func (i *instance) Reclaim() error { return i.Sandboxed.Reclaim() }
