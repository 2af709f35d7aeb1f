//go:build !linux

package process

import (
	"errors"
	"net"
	"os"
)

// Processes are forked only on Linux.

func passCredentials(*net.UnixConn) error { return errors.ErrUnsupported }

func sender([]byte) (int, error) { return 0, errors.ErrUnsupported }

func rightsOf([]*os.File) []byte { return nil }
