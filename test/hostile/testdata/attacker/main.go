//go:build linux

// Attacker runs attacks that a Node.js program cannot run itself, and prints the
// outcome of each attempt as JSON: "done", or the name of the error.
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

// report holds the outcomes of attempts, by name.
type report struct {
	mu       sync.Mutex
	outcomes map[string]string
}

// record stores the outcome of an attempt.
func (r *report) record(name string, err error) {
	r.set(name, outcome(err))
}

func (r *report) set(name, value string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.outcomes[name] = value
}

// outcome returns "done", or the name of an error.
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
		fmt.Fprintln(os.Stderr, "unknown attack", os.Args[1])
		os.Exit(2)
	}
	runtime.LockOSThread() // many attacks change their own thread
	r := &report{outcomes: map[string]string{}}
	attack(r, os.Args[2:])
	if err := json.NewEncoder(os.Stdout).Encode(r.outcomes); err != nil {
		os.Exit(1)
	}
}

// call makes a system call and records its outcome.
func (r *report) call(name string, number uintptr, args ...uintptr) {
	var a [6]uintptr
	copy(a[:], args)
	_, _, err := unix.Syscall6(number, a[0], a[1], a[2], a[3], a[4], a[5])
	if err != 0 {
		r.record(name, err)
		return
	}
	r.set(name, "done")
}

// inProcess runs an attack in another process, since the kernel may kill it.
func (r *report) inProcess(name string, args ...string) {
	out, err := exec.Command("/proc/self/exe", args...).Output()
	var outcomes map[string]string
	if json.Unmarshal(out, &outcomes) == nil {
		r.set(name, outcomes[name])
		return
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() {
			r.set(name, unix.SignalName(status.Signal()))
			return
		}
	}
	r.set(name, fmt.Sprintf("%s %v", out, err))
}
