//go:build !linux

package link

import (
	"errors"
	"os"
)

// Device is the outer end of a sandbox's network device. Other systems have none.
type Device struct{}

// New returns no device.
func New(*os.File, Lender) (*Device, error) { return nil, errors.ErrUnsupported }

// Receive receives nothing.
func (*Device) Receive(func([]byte)) error { return errors.ErrUnsupported }

// Send sends nothing.
func (*Device) Send([][]byte) error { return errors.ErrUnsupported }

// Close closes nothing.
func (*Device) Close() error { return nil }
