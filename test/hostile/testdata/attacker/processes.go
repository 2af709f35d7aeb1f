//go:build linux

package main

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// processes attacks the processes of the host with the given IDs, the first process
// of the PID namespace, and the parent.
func processes(r *report, args []string) {
	targets := map[string]int{"init": 1, "parent": os.Getppid()}
	if relay := parentOf(os.Getppid()); relay > 1 { // the parent's parent, if the function is a program
		targets["relay"] = relay
	}
	for i, arg := range args {
		pid, err := strconv.Atoi(arg)
		if err != nil {
			panic(err)
		}
		targets[fmt.Sprintf("host %d", i)] = pid
	}
	for name, pid := range targets {
		r.record("ptrace "+name, unix.PtraceAttach(pid))
		r.record("seize "+name, unix.PtraceSeize(pid))
		buffer := make([]byte, 8)
		local := []unix.Iovec{{Base: &buffer[0], Len: 8}}
		_, err := unix.ProcessVMReadv(pid, local, []unix.RemoteIovec{{Base: 0x400000, Len: 8}}, 0)
		r.record("read memory of "+name, err)
		_, err = unix.ProcessVMWritev(pid, local, []unix.RemoteIovec{{Base: 0x400000, Len: 8}}, 0)
		r.record("write memory of "+name, err)
		r.call("kcmp "+name, unix.SYS_KCMP, uintptr(pid), uintptr(os.Getpid()), 0, 0, 0)
		fd, err := unix.PidfdOpen(pid, 0)
		if err == nil {
			_, err = unix.PidfdGetfd(fd, 3, 0)
			unix.Close(fd)
		}
		r.record("take a descriptor of "+name, err)
		if name == "parent" {
			continue // the parent runs user code too
		}
		for _, file := range []string{"environ", "mem", "maps", "fd", "root", "cwd"} {
			_, err := os.ReadDir(fmt.Sprintf("/proc/%d/%s/", pid, file))
			if file == "environ" || file == "maps" || file == "mem" {
				_, err = os.Open(fmt.Sprintf("/proc/%d/%s", pid, file))
			}
			r.record(file+" of "+name, err)
		}
	}
	for name, pid := range targets {
		if strings.HasPrefix(name, "host") {
			for _, sig := range []unix.Signal{unix.SIGKILL, unix.SIGSTOP, unix.SIGTERM} {
				r.record("kill "+name, unix.Kill(pid, sig))
			}
		}
	}
}

func parentOf(pid int) int {
	stat, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, rest, _ := strings.Cut(string(stat), ") ")
	fields := strings.Fields(rest)
	if len(fields) < 2 {
		return 0
	}
	parent, _ := strconv.Atoi(fields[1])
	return parent
}

// identity tries to change the user, the groups and the capabilities, and records
// those that the process has.
func identity(r *report, _ []string) {
	r.call("setuid", unix.SYS_SETUID, 0)
	r.call("setgid", unix.SYS_SETGID, 0)
	r.call("setresuid", unix.SYS_SETRESUID, 0, 0, 0)
	groups := [1]uint32{0}
	r.call("setgroups", unix.SYS_SETGROUPS, 1, uintptr(unsafe.Pointer(&groups)))
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	data := [2]unix.CapUserData{{Effective: ^uint32(0), Permitted: ^uint32(0), Inheritable: ^uint32(0)}}
	r.record("capset", unix.Capset(&header, &data[0]))
	r.record("ambient capability", unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_RAISE, unix.CAP_SYS_ADMIN, 0, 0))
	r.record("allow new privileges", unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0))
	for _, file := range []string{"uid_map", "gid_map", "setgroups"} {
		r.record("write "+file, os.WriteFile("/proc/self/"+file, []byte("0 0 1\n"), 0))
	}
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		r.record("status", err)
		return
	}
	for line := range strings.Lines(string(status)) {
		name, value, _ := strings.Cut(line, ":")
		switch name {
		case "Uid", "Gid", "Groups", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp":
			r.set(name, strings.Join(strings.Fields(value), " "))
		}
	}
}

// setuid runs the given copies of the attacker, which have the set-user-ID bit or
// file capabilities.
func setuid(r *report, args []string) {
	for i, program := range args {
		out, err := exec.Command(program, "identity").Output()
		if err != nil {
			r.record(fmt.Sprintf("run %d", i), err)
			continue
		}
		r.set(fmt.Sprintf("run %d", i), string(out))
	}
}

// limits tries to raise its resource limits and its priority.
func limits(r *report, _ []string) {
	for name, resource := range map[string]int{
		"files": unix.RLIMIT_NOFILE, "processes": unix.RLIMIT_NPROC, "core": unix.RLIMIT_CORE,
	} {
		r.record("raise "+name, unix.Setrlimit(resource, &unix.Rlimit{Cur: unix.RLIM_INFINITY, Max: unix.RLIM_INFINITY}))
	}
	r.record("raise the priority", unix.Setpriority(unix.PRIO_PROCESS, 0, -20))
	param := struct{ priority int32 }{1}
	r.call("run in real time", unix.SYS_SCHED_SETSCHEDULER, 0, 1, uintptr(unsafe.Pointer(&param)))
	r.record("lock memory", unix.Mlock(make([]byte, 256<<20)))
	r.record("lower the OOM score", os.WriteFile("/proc/self/oom_score_adj", []byte("-1000"), 0))
}

// forks starts copies of itself until a start fails, and each copy starts further
// copies. args are a name that marks the processes, and "child" in the copies.
func forks(r *report, args []string) {
	self := "/proc/self/exe"
	if len(args) == 1 {
		started := 0
		var err error
		for err == nil && started < 5000 {
			cmd := exec.Command(self, "forks", args[0], "child")
			cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
			if err = cmd.Start(); err == nil {
				started++
			}
		}
		r.record("last error", err)
		r.set("started", strconv.Itoa(started))
		return
	}
	for range time.Tick(10 * time.Millisecond) {
		for range 8 {
			cmd := exec.Command(self, "forks", args[0], "child")
			cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
			_ = cmd.Start()
		}
	}
}

// daemon starts a process that is reparented, has its own session, shares no
// descriptors with its starter, and ignores signals.
func daemon(r *report, args []string) {
	middle := exec.Command("/proc/self/exe", "stay", args[0], "fork")
	middle.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	r.record("start the daemon", middle.Run())
}

// stay waits forever, with the given name among its arguments. With a second
// argument it starts a process that does so.
func stay(r *report, args []string) {
	if len(args) > 1 {
		cmd := exec.Command("/proc/self/exe", "stay", args[0])
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		r.record("start", cmd.Start())
		return
	}
	for sig := unix.Signal(1); sig < 32; sig++ {
		ignore(sig)
	}
	for range time.Tick(time.Hour) {
	}
}

// orphan kills the process that started it.
func orphan(r *report, _ []string) {
	r.record("kill the parent", unix.Kill(os.Getppid(), unix.SIGKILL))
}
