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

// Exec executes a program in place of this one, in the same process, and passes it the
// sockets with the descriptors and variables of the protocol, besides the variables of
// environ. It returns only on failure, and leaves this process unchanged then.
func (s *Set) Exec(program string, args, environ []string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	names := make([]string, len(s.held))
	sources := make([]int, len(s.held))
	for i, h := range s.held {
		copied, err := duplicate(h.fd) // a descriptor above the target range
		if err != nil {
			return err
		}
		defer func() { _ = unix.Close(copied) }() // frees the descriptor even after an error
		names[i], sources[i] = h.name, copied
	}
	environ = slices.DeleteFunc(slices.Clone(environ), func(line string) bool {
		name, _, _ := strings.Cut(line, "=")
		return slices.Contains(Vars(), name)
	})
	environ = append(environ, envPID+"="+strconv.Itoa(os.Getpid()), envCount+"="+strconv.Itoa(len(names)), envNames+"="+strings.Join(names, ":"))

	// The descriptors in the target range may belong to the Go runtime, which must never
	// see them replaced: from here on no other thread runs Go code, and if the program
	// cannot be executed, restore puts the descriptors back.
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	restore, err := occupy(sources)
	if err == nil {
		err = syscall.Exec(program, args, environ) //nolint:gosec // the caller's choice is the point
	}
	restore()
	return fmt.Errorf("execute %s: %w", program, err)
}

// occupy duplicates sources to the descriptors of the protocol, open for the next
// program. restore puts the former descriptors back.
func occupy(sources []int) (restore func(), err error) {
	former := make([]int, 0, len(sources)) // copies of the former descriptors; -1 for one that was closed
	restore = func() {
		for i, copied := range former {
			if copied < 0 {
				_ = unix.Close(first + i) // frees the descriptor even after an error
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
