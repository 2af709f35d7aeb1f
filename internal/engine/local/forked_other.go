//go:build !linux

package local

import (
	"errors"
	"net"
	"os"

	"github.com/lateen-dev/lateen/internal/guest"
)

// Template processes exist only on Linux.

func passCredentials(*net.UnixConn) error { return errors.ErrUnsupported }

func sender([]byte) (int, error) { return 0, errors.ErrUnsupported }

func rightsOf([]*os.File) []byte { return nil }

func footprintOf(int) ([]guest.Range, error) { return nil, errors.ErrUnsupported }

func tmpNearlyFull(int) bool { return false }
