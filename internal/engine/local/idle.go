package local

import "errors"

// Freeze is not supported yet by this engine's sandbox.
func (i *instance) Freeze() error { return errors.ErrUnsupported }

// Thaw lets a frozen instance run again.
func (i *instance) Thaw() error { return nil }

// Reclaim is not supported yet by this engine's sandbox.
func (i *instance) Reclaim() error { return errors.ErrUnsupported }
