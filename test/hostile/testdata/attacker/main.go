//go:build linux

// Attacker tries what a Node.js program cannot without help, and tells as
// JSON what became of each attempt: "done", or the name of the error.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// report is what became of attempts, by name.
type report struct {
	mu       sync.Mutex
	outcomes map[string]string
}

// tell keeps what became of an attempt.
func (r *report) tell(name string, err error) {
	r.note(name, outcome(err))
}

func (r *report) note(name, what string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.outcomes[name] = what
}

// outcome is an error in one word.
func outcome(err error) string {
	var number syscall.Errno
	switch {
	case err == nil:
		return "done"
	case errors.As(err, &number) && number != 0:
		return unix.ErrnoName(number)
	default:
		return err.Error()
	}
}

func main() {
	attacks := map[string]func(r *report, args []string){
		"calls": calls, "mounts": mounts, "namespaces": namespaces, "processes": processes, "identity": identity,
		"sockets": sockets, "connect": connect, "listen": listen, "netlink": netlink, "flood": flood, "devices": devices, "terminals": terminals,
		"files": files, "inodes": inodes, "fill": fill, "memory": memory, "forks": forks, "stay": stay, "daemon": daemon,
		"setuid": setuid, "foreign": foreign, "inherited": inherited, "limits": limits,
		"memfd": memfd, "sysv": sysv, "orphan": orphan, "paths": paths,
	}
	if len(os.Args) == 1 {
		serve()
	}
	attack := attacks[os.Args[1]]
	if attack == nil {
		fmt.Fprintln(os.Stderr, "there is no attack", os.Args[1])
		os.Exit(2)
	}
	runtime.LockOSThread() // much of it concerns the thread that tries it
	r := &report{outcomes: map[string]string{}}
	attack(r, os.Args[2:])
	if err := json.NewEncoder(os.Stdout).Encode(r.outcomes); err != nil {
		os.Exit(1)
	}
}

// call makes a system call and tells what became of it.
func (r *report) call(name string, number uintptr, args ...uintptr) {
	var a [6]uintptr
	copy(a[:], args)
	_, _, err := unix.Syscall6(number, a[0], a[1], a[2], a[3], a[4], a[5])
	if err != 0 {
		r.tell(name, err)
		return
	}
	r.note(name, "done")
}

// apart runs an attack in a process of its own, which may be killed for it.
func (r *report) apart(name string, args ...string) {
	out, err := exec.Command("/proc/self/exe", args...).Output()
	var told map[string]string
	if json.Unmarshal(out, &told) == nil {
		r.note(name, told[name])
		return
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() {
			r.note(name, unix.SignalName(status.Signal()))
			return
		}
	}
	r.note(name, fmt.Sprintf("%s %v", out, err))
}
