//go:build !linux

package netdev

import (
	"errors"
	"os"
)

// Device is the host end of a sandbox's network device. This system has none.
type Device struct{}

// New is not supported on this system.
func New(*os.File, Lender) (*Device, error) { return nil, errors.ErrUnsupported }

// Receive is not supported on this system.
func (*Device) Receive(func([]byte)) error { return errors.ErrUnsupported }

// Send is not supported on this system.
func (*Device) Send([][]byte) error { return errors.ErrUnsupported }

// Close does nothing.
func (*Device) Close() error { return nil }
