//go:build !linux

package inner

import (
	"errors"
	"os"
)

// Open is not supported here: there is no such device.
func Open() (*os.File, error) { return nil, errors.ErrUnsupported }

// Loopback is not supported here.
func Loopback() error { return errors.ErrUnsupported }
