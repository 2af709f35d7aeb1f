//go:build !linux

package inner

import (
	"errors"
	"os"
)

// Open is not supported on this system.
func Open() (*os.File, error) { return nil, errors.ErrUnsupported }

// Loopback is not supported on this system.
func Loopback() error { return errors.ErrUnsupported }
