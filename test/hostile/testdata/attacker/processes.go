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

// processes are attacked, by id: those of the host that are given, the first
// there is, and the parent.
func processes(r *report, args []string) {
	targets := map[string]int{"init": 1, "parent": os.Getppid()}
	if relay := parentOf(os.Getppid()); relay > 1 { // what stands before a program
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
		r.tell("ptrace "+name, unix.PtraceAttach(pid))
		r.tell("seize "+name, unix.PtraceSeize(pid))
		buffer := make([]byte, 8)
		local := []unix.Iovec{{Base: &buffer[0], Len: 8}}
		_, err := unix.ProcessVMReadv(pid, local, []unix.RemoteIovec{{Base: 0x400000, Len: 8}}, 0)
		r.tell("read memory of "+name, err)
		_, err = unix.ProcessVMWritev(pid, local, []unix.RemoteIovec{{Base: 0x400000, Len: 8}}, 0)
		r.tell("write memory of "+name, err)
		r.call("kcmp "+name, unix.SYS_KCMP, uintptr(pid), uintptr(os.Getpid()), 0, 0, 0)
		fd, err := unix.PidfdOpen(pid, 0)
		if err == nil {
			_, err = unix.PidfdGetfd(fd, 3, 0)
			unix.Close(fd)
		}
		r.tell("take a descriptor of "+name, err)
		if name == "parent" {
			continue // its own files are no secret to it
		}
		for _, file := range []string{"environ", "mem", "maps", "fd", "root", "cwd"} {
			_, err := os.ReadDir(fmt.Sprintf("/proc/%d/%s/", pid, file))
			if file == "environ" || file == "maps" || file == "mem" {
				_, err = os.Open(fmt.Sprintf("/proc/%d/%s", pid, file))
			}
			r.tell(file+" of "+name, err)
		}
	}
	for name, pid := range targets {
		if strings.HasPrefix(name, "host") {
			for _, sig := range []unix.Signal{unix.SIGKILL, unix.SIGSTOP, unix.SIGTERM} {
				r.tell("kill "+name, unix.Kill(pid, sig))
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

// identity tries to become somebody else, or to be allowed more.
func identity(r *report, _ []string) {
	r.call("setuid", unix.SYS_SETUID, 0)
	r.call("setgid", unix.SYS_SETGID, 0)
	r.call("setresuid", unix.SYS_SETRESUID, 0, 0, 0)
	groups := [1]uint32{0}
	r.call("setgroups", unix.SYS_SETGROUPS, 1, uintptr(unsafe.Pointer(&groups)))
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	data := [2]unix.CapUserData{{Effective: ^uint32(0), Permitted: ^uint32(0), Inheritable: ^uint32(0)}}
	r.tell("capset", unix.Capset(&header, &data[0]))
	r.tell("ambient capability", unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_RAISE, unix.CAP_SYS_ADMIN, 0, 0))
	r.tell("allow new privileges", unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0))
	for _, file := range []string{"uid_map", "gid_map", "setgroups"} {
		r.tell("write "+file, os.WriteFile("/proc/self/"+file, []byte("0 0 1\n"), 0))
	}
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		r.tell("status", err)
		return
	}
	for line := range strings.Lines(string(status)) {
		name, value, _ := strings.Cut(line, ":")
		switch name {
		case "Uid", "Gid", "Groups", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp":
			r.note(name, strings.Join(strings.Fields(value), " "))
		}
	}
}

// setuid runs the programs given, which are somebody else's and say so, and
// this one with capabilities, if it has some.
func setuid(r *report, args []string) {
	for i, program := range args {
		out, err := exec.Command(program, "identity").Output()
		if err != nil {
			r.tell(fmt.Sprintf("run %d", i), err)
			continue
		}
		r.note(fmt.Sprintf("run %d", i), string(out))
	}
}

// limits tries to raise what bounds it.
func limits(r *report, _ []string) {
	for name, resource := range map[string]int{
		"files": unix.RLIMIT_NOFILE, "processes": unix.RLIMIT_NPROC, "core": unix.RLIMIT_CORE,
	} {
		r.tell("raise "+name, unix.Setrlimit(resource, &unix.Rlimit{Cur: unix.RLIM_INFINITY, Max: unix.RLIM_INFINITY}))
	}
	r.tell("be nice", unix.Setpriority(unix.PRIO_PROCESS, 0, -20))
	param := struct{ priority int32 }{1}
	r.call("run in real time", unix.SYS_SCHED_SETSCHEDULER, 0, 1, uintptr(unsafe.Pointer(&param)))
	r.tell("lock memory", unix.Mlock(make([]byte, 256<<20)))
	r.tell("live on", os.WriteFile("/proc/self/oom_score_adj", []byte("-1000"), 0))
}

// forks starts copies of itself, each of which does the same, until nothing
// more can be started; args are a name to be known by, and how deep it goes.
func forks(r *report, args []string) {
	self := "/proc/self/exe"
	if len(args) == 1 {
		started := 0
		var refused error
		for refused == nil && started < 5000 {
			cmd := exec.Command(self, "forks", args[0], "child")
			cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
			if refused = cmd.Start(); refused == nil {
				started++
			}
		}
		r.tell("in the end", refused)
		r.note("started", strconv.Itoa(started))
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

// daemon leaves a process behind that has no parent, no session and no
// descriptor in common with it, and ignores all signals it can.
func daemon(r *report, args []string) {
	middle := exec.Command("/proc/self/exe", "stay", args[0], "again")
	middle.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	r.tell("left behind", middle.Run())
}

// stay waits for ever, under the name given, in the background if told so.
func stay(r *report, args []string) {
	if len(args) > 1 {
		cmd := exec.Command("/proc/self/exe", "stay", args[0])
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		r.tell("stays", cmd.Start())
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
	r.tell("kill the parent", unix.Kill(os.Getppid(), unix.SIGKILL))
}
