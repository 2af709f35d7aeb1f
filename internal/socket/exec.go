//go:build unix

package socket

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Exec executes a program in place of this one, in the same process, and passes
// it the sockets: by the protocol's descriptors, and by its variables beside those of
// environ. It returns only if that fails; this process is as it was then.
func (s *Set) Exec(program string, args, environ []string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	names := make([]string, len(s.held))
	sources := make([]int, len(s.held))
	for i, h := range s.held {
		copied, err := duplicate(h.fd) // out of the way of the places they go to
		if err != nil {
			return err
		}
		defer func() { _ = unix.Close(copied) }() // which frees it in any case
		names[i], sources[i] = h.name, copied
	}
	environ = slices.DeleteFunc(slices.Clone(environ), func(line string) bool {
		name, _, _ := strings.Cut(line, "=")
		return slices.Contains(Vars(), name)
	})
	environ = append(environ, envPID+"="+strconv.Itoa(os.Getpid()), envCount+"="+strconv.Itoa(len(names)), envNames+"="+strings.Join(names, ":"))

	// What is in those places may be the runtime's own, which it must not miss: no
	// other thread runs Go from here on, and where the program cannot be executed all
	// goes back to where it was.
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	restore, err := occupy(sources)
	if err == nil {
		err = syscall.Exec(program, args, environ) //nolint:gosec // the caller's choice is the point
	}
	restore()
	return fmt.Errorf("execute %s: %w", program, err)
}

// occupy puts sources where the protocol has them, open for the next program.
// restore puts back what was there.
func occupy(sources []int) (restore func(), err error) {
	former := make([]int, 0, len(sources)) // copies; -1: nothing was there
	restore = func() {
		for i, copied := range former {
			if copied < 0 {
				_ = unix.Close(first + i) // which frees it in any case
				continue
			}
			_ = unix.Dup2(copied, first+i) // both are open
			unix.CloseOnExec(first + i)
			_ = unix.Close(copied)
		}
	}
	for i := range sources {
		copied, err := duplicate(first + i)
		if errors.Is(err, unix.EBADF) {
			copied, err = -1, nil
		}
		if err != nil {
			return restore, err
		}
		former = append(former, copied)
	}
	for i, source := range sources {
		if err := unix.Dup2(source, first+i); err != nil {
			return restore, fmt.Errorf("move a descriptor: %w", err)
		}
	}
	return restore, nil
}
