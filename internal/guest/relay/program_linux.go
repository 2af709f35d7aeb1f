package relay

import (
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"
)

// guard protects this process from ptrace(2) by the program, which has the same user.
func guard() error {
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("disable ptrace: %w", err)
	}
	return nil
}

// attributes have the kernel kill the program when the thread that started it ends.
func attributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
