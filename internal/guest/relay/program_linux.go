package relay

import (
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"
)

// guard keeps the program, which has the same user, out of this process.
func guard() error {
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("refuse to be looked into: %w", err)
	}
	return nil
}

// attributes ties the program's life to the thread that starts it.
func attributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
