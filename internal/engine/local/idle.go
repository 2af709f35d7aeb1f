package local

// Freeze stops the instance's processes where they are.
func (i *instance) Freeze() error {
	if i.upstream.Foreign { // its idle timeouts pass meanwhile, and its connections end when it runs again
		i.upstream.CloseIdle()
	}
	return i.process.Freeze()
}

// Thaw lets a frozen instance run again.
func (i *instance) Thaw() error { return i.process.Thaw() }

// Reclaim pushes the memory of a frozen instance out.
func (i *instance) Reclaim() error { return i.process.Reclaim() }
