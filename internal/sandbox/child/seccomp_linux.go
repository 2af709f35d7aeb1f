package child

import (
	"fmt"
	"runtime"
	"slices"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The filter of system calls (seccomp(2)) refuses all calls that are not listed. Calls
// newer than lastKnown fail as on a kernel without them, so that libraries fall back to
// older ones.
const (
	allow = unix.SECCOMP_RET_ALLOW
	kill  = unix.SECCOMP_RET_KILL_PROCESS

	offsetCall = 0 // offset in seccomp_data
	offsetArch = 4
	offsetArgs = 16
)

func fail(errno unix.Errno) uint32 { return unix.SECCOMP_RET_ERRNO | uint32(errno) }

// program is a classic BPF program under construction.
type program []unix.SockFilter

func (p *program) load(offset uint32) {
	*p = append(*p, unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: offset})
}

func (p *program) end(returning uint32) {
	*p = append(*p, unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: returning})
}

// jump skips then or otherwise instructions, depending on a comparison with k.
func (p *program) jump(comparison uint16, k uint32, then, otherwise uint8) {
	*p = append(*p, unix.SockFilter{Code: unix.BPF_JMP | comparison | unix.BPF_K, Jt: then, Jf: otherwise, K: k})
}

// on adds a body for one call. The body must end with a return.
func (p *program) on(call uint32, body program) {
	p.jump(unix.BPF_JEQ, call, 0, uint8(len(body))) //nolint:gosec // bodies are short
	*p = append(*p, body...)
}

// returning is a body of one return.
func returning(v uint32) program {
	var p program
	p.end(v)
	return p
}

// byArgument returns found if the low word of an argument compares with one of the
// values, else otherwise.
func byArgument(argument, comparison int, values []uint32, found, otherwise uint32) program {
	var p program
	p.load(uint32(offsetArgs + 8*argument)) //nolint:gosec // there are six
	for _, v := range values {
		p.jump(uint16(comparison), v, 0, 1) //nolint:gosec // a constant
		p.end(found)
	}
	p.end(otherwise)
	return p
}

// Filter returns the filter; more lists calls that are allowed besides those of the
// list.
func Filter(more ...uint32) []unix.SockFilter {
	var p program
	p.load(offsetArch)
	p.jump(unix.BPF_JEQ, arch, 1, 0)
	p.end(kill) // another calling convention has other numbers
	p.load(offsetCall)
	if runtime.GOARCH == "amd64" {
		const x32 = 0x40000000
		p.jump(unix.BPF_JGE, x32, 0, 1)
		p.end(fail(unix.ENOSYS))
	}
	const namespaces = unix.CLONE_NEWNS | unix.CLONE_NEWUSER | unix.CLONE_NEWPID | unix.CLONE_NEWNET | unix.CLONE_NEWUTS |
		unix.CLONE_NEWIPC | unix.CLONE_NEWCGROUP
	p.on(unix.SYS_CLONE, byArgument(0, unix.BPF_JSET, []uint32{namespaces}, fail(unix.EPERM), allow))
	p.on(unix.SYS_CLONE3, returning(fail(unix.ENOSYS))) // its flags are in memory, where no filter sees them; libraries fall back to clone
	p.on(unix.SYS_SOCKET, socketBody())
	p.on(unix.SYS_SOCKETPAIR, byArgument(0, unix.BPF_JEQ, []uint32{unix.AF_UNIX}, allow, fail(unix.EAFNOSUPPORT)))
	p.on(unix.SYS_SETSOCKOPT, optionBody())
	p.on(unix.SYS_PERSONALITY, byArgument(0, unix.BPF_JEQ, []uint32{0, ^uint32(0)}, allow, fail(unix.EPERM)))
	p.on(unix.SYS_IOCTL, byArgument(1, unix.BPF_JEQ, []uint32{unix.TIOCSTI, unix.TIOCLINUX}, fail(unix.EPERM), allow))
	p.ranges(slices.Concat(commonCalls(), archCalls(), more))
	return p
}

// socketBody allows the families that need no privileges and stay within the process's
// own network: unix, internet, and netlink to read its routes. Of the internet
// protocols it allows TCP and UDP: for others the kernel would load modules into the
// host.
func socketBody() program {
	const protocol = 2 // index of the argument
	internet := byArgument(protocol, unix.BPF_JEQ, []uint32{0, unix.IPPROTO_TCP, unix.IPPROTO_UDP}, allow, fail(unix.EPROTONOSUPPORT))
	routes := byArgument(protocol, unix.BPF_JEQ, []uint32{unix.NETLINK_ROUTE}, allow, fail(unix.EPROTONOSUPPORT))
	var p program
	p.load(offsetArgs)
	p.on(unix.AF_UNIX, returning(allow))
	p.on(unix.AF_INET, internet)
	p.on(unix.AF_INET6, internet)
	p.on(unix.AF_NETLINK, routes)
	p.end(fail(unix.EAFNOSUPPORT))
	return p
}

// optionBody allows all socket options except two, by which a function could block a
// thread of the platform. A function may hold a descriptor of a socket of the platform.
//
// SO_LINGER succeeds without an effect (socket(7)): the last close of such a socket
// blocks, and no signal or deadline of Go interrupts it. Any socket from which the
// platform reads may carry one with SCM_RIGHTS, and the kernel closes its last
// descriptor in the reading thread. TCP_ULP fails: a send with the kernel's TLS waits
// for an earlier sender, with or without MSG_DONTWAIT (tls_sw_sendmsg).
func optionBody() program {
	const level, option = 1, 2 // indexes of the arguments
	lingers := byArgument(option, unix.BPF_JEQ, []uint32{unix.SO_LINGER}, fail(0), allow)
	protocols := byArgument(option, unix.BPF_JEQ, []uint32{unix.TCP_ULP}, fail(unix.EPERM), allow)
	var p program
	p.load(offsetArgs + 8*level)
	p.on(unix.SOL_SOCKET, lingers)
	p.on(unix.IPPROTO_TCP, protocols)
	p.end(allow)
	return p
}

// ranges allows calls by ranges of their numbers.
func (p *program) ranges(calls []uint32) {
	slices.Sort(calls)
	calls = slices.Compact(calls)
	for len(calls) > 0 {
		n := 1
		for n < len(calls) && calls[n] == calls[n-1]+1 {
			n++
		}
		p.jump(unix.BPF_JGT, calls[n-1], 3, 0)
		p.jump(unix.BPF_JGE, calls[0], 0, 1)
		p.end(allow)
		p.end(fail(unix.EPERM))
		calls = calls[n:]
	}
	p.jump(unix.BPF_JGT, lastKnown, 0, 1)
	p.end(fail(unix.ENOSYS))
	p.end(fail(unix.EPERM))
}

// filter applies the filter to this thread and the program that it executes.
func (p *Plan) filter() error {
	var more []uint32
	if p.Handover {
		more = append(more, unix.SYS_PIDFD_GETFD)
	}
	filter := Filter(more...)
	prog := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]} //nolint:gosec // a few hundred
	_, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, 0, uintptr(unsafe.Pointer(&prog)))
	if errno != 0 {
		return fmt.Errorf("filter system calls: %w", errno)
	}
	return nil
}

const lastKnown = unix.SYS_LSM_LIST_MODULES // the newest call at the time of the list

// commonCalls are the calls that are allowed on every architecture.
func commonCalls() []uint32 {
	return []uint32{
		// files
		unix.SYS_READ, unix.SYS_WRITE, unix.SYS_READV, unix.SYS_WRITEV, unix.SYS_PREAD64, unix.SYS_PWRITE64, unix.SYS_PREADV,
		unix.SYS_PWRITEV, unix.SYS_PREADV2, unix.SYS_PWRITEV2, unix.SYS_OPENAT, unix.SYS_OPENAT2, unix.SYS_CLOSE,
		unix.SYS_CLOSE_RANGE, unix.SYS_FSTAT, unix.SYS_FSTATFS, unix.SYS_STATFS, unix.SYS_STATX, unix.SYS_LSEEK, unix.SYS_FSYNC,
		unix.SYS_FDATASYNC, unix.SYS_SYNC_FILE_RANGE, unix.SYS_FTRUNCATE, unix.SYS_TRUNCATE, unix.SYS_FALLOCATE, unix.SYS_FADVISE64,
		unix.SYS_READAHEAD, unix.SYS_GETDENTS64, unix.SYS_GETCWD, unix.SYS_CHDIR, unix.SYS_FCHDIR, unix.SYS_MKDIRAT, unix.SYS_MKNODAT,
		unix.SYS_UNLINKAT, unix.SYS_SYMLINKAT, unix.SYS_LINKAT, unix.SYS_RENAMEAT, unix.SYS_RENAMEAT2, unix.SYS_READLINKAT,
		unix.SYS_FACCESSAT, unix.SYS_FACCESSAT2, unix.SYS_FCHMOD, unix.SYS_FCHMODAT, unix.SYS_FCHMODAT2, unix.SYS_FCHOWN,
		unix.SYS_FCHOWNAT, unix.SYS_UTIMENSAT, unix.SYS_UMASK, unix.SYS_FLOCK, unix.SYS_FCNTL, unix.SYS_DUP, unix.SYS_DUP3,
		unix.SYS_PIPE2, unix.SYS_COPY_FILE_RANGE, unix.SYS_SENDFILE, unix.SYS_SPLICE, unix.SYS_TEE, unix.SYS_VMSPLICE,
		unix.SYS_SYNC, unix.SYS_SYNCFS, unix.SYS_GETXATTR, unix.SYS_LGETXATTR, unix.SYS_FGETXATTR, unix.SYS_LISTXATTR,
		unix.SYS_LLISTXATTR, unix.SYS_FLISTXATTR, unix.SYS_SETXATTR, unix.SYS_LSETXATTR, unix.SYS_FSETXATTR, unix.SYS_REMOVEXATTR,
		unix.SYS_LREMOVEXATTR, unix.SYS_FREMOVEXATTR, unix.SYS_CACHESTAT, unix.SYS_MEMFD_CREATE,
		unix.SYS_INOTIFY_INIT1, unix.SYS_INOTIFY_ADD_WATCH, unix.SYS_INOTIFY_RM_WATCH,
		// waiting
		unix.SYS_PPOLL, unix.SYS_PSELECT6, unix.SYS_EPOLL_CREATE1, unix.SYS_EPOLL_CTL, unix.SYS_EPOLL_PWAIT, unix.SYS_EPOLL_PWAIT2,
		unix.SYS_EVENTFD2, unix.SYS_SIGNALFD4, unix.SYS_TIMERFD_CREATE, unix.SYS_TIMERFD_SETTIME, unix.SYS_TIMERFD_GETTIME,
		unix.SYS_NANOSLEEP, unix.SYS_CLOCK_NANOSLEEP, unix.SYS_CLOCK_GETTIME, unix.SYS_CLOCK_GETRES, unix.SYS_GETTIMEOFDAY,
		unix.SYS_TIMER_CREATE, unix.SYS_TIMER_SETTIME, unix.SYS_TIMER_GETTIME, unix.SYS_TIMER_GETOVERRUN, unix.SYS_TIMER_DELETE,
		unix.SYS_GETITIMER, unix.SYS_SETITIMER, unix.SYS_TIMES, unix.SYS_FUTEX, unix.SYS_FUTEX_WAITV, unix.SYS_FUTEX_WAKE,
		unix.SYS_FUTEX_WAIT, unix.SYS_FUTEX_REQUEUE, unix.SYS_RESTART_SYSCALL,
		// memory
		unix.SYS_MMAP, unix.SYS_MUNMAP, unix.SYS_MPROTECT, unix.SYS_MREMAP, unix.SYS_MSYNC, unix.SYS_MADVISE, unix.SYS_BRK,
		unix.SYS_MINCORE, unix.SYS_MLOCK, unix.SYS_MLOCK2, unix.SYS_MUNLOCK, unix.SYS_MLOCKALL, unix.SYS_MUNLOCKALL,
		unix.SYS_PKEY_MPROTECT, unix.SYS_PKEY_ALLOC, unix.SYS_PKEY_FREE, unix.SYS_MEMBARRIER, unix.SYS_GET_MEMPOLICY,
		// processes and threads
		unix.SYS_EXECVE, unix.SYS_EXECVEAT, unix.SYS_EXIT, unix.SYS_EXIT_GROUP, unix.SYS_WAIT4, unix.SYS_WAITID, unix.SYS_KILL,
		unix.SYS_TKILL, unix.SYS_TGKILL, unix.SYS_PIDFD_OPEN, unix.SYS_PIDFD_SEND_SIGNAL, unix.SYS_RT_SIGACTION,
		unix.SYS_RT_SIGPROCMASK, unix.SYS_RT_SIGPENDING, unix.SYS_RT_SIGTIMEDWAIT, unix.SYS_RT_SIGQUEUEINFO,
		unix.SYS_RT_TGSIGQUEUEINFO, unix.SYS_RT_SIGRETURN, unix.SYS_RT_SIGSUSPEND, unix.SYS_SIGALTSTACK, unix.SYS_SET_TID_ADDRESS,
		unix.SYS_SET_ROBUST_LIST, unix.SYS_GET_ROBUST_LIST, unix.SYS_RSEQ, unix.SYS_PRCTL, unix.SYS_SECCOMP, unix.SYS_GETPID,
		unix.SYS_GETPPID, unix.SYS_GETTID, unix.SYS_GETPGID, unix.SYS_SETPGID, unix.SYS_GETSID, unix.SYS_SETSID,
		unix.SYS_GETUID, unix.SYS_GETEUID, unix.SYS_GETGID, unix.SYS_GETEGID, unix.SYS_GETRESUID, unix.SYS_GETRESGID,
		unix.SYS_GETGROUPS, unix.SYS_SETGROUPS, unix.SYS_SETUID, unix.SYS_SETGID, unix.SYS_SETREUID, unix.SYS_SETREGID,
		unix.SYS_SETRESUID, unix.SYS_SETRESGID, unix.SYS_SETFSUID, unix.SYS_SETFSGID, unix.SYS_CAPGET, unix.SYS_CAPSET,
		unix.SYS_PRLIMIT64, unix.SYS_GETRLIMIT, unix.SYS_SETRLIMIT, unix.SYS_GETRUSAGE, unix.SYS_GETPRIORITY, unix.SYS_SETPRIORITY,
		unix.SYS_IOPRIO_GET, unix.SYS_IOPRIO_SET, unix.SYS_SCHED_YIELD, unix.SYS_SCHED_GETAFFINITY, unix.SYS_SCHED_SETAFFINITY,
		unix.SYS_SCHED_GETPARAM, unix.SYS_SCHED_SETPARAM, unix.SYS_SCHED_GETSCHEDULER, unix.SYS_SCHED_SETSCHEDULER,
		unix.SYS_SCHED_GET_PRIORITY_MAX, unix.SYS_SCHED_GET_PRIORITY_MIN, unix.SYS_SCHED_RR_GET_INTERVAL, unix.SYS_SCHED_GETATTR,
		unix.SYS_SCHED_SETATTR, unix.SYS_GETCPU, unix.SYS_LANDLOCK_CREATE_RULESET, unix.SYS_LANDLOCK_ADD_RULE,
		unix.SYS_LANDLOCK_RESTRICT_SELF,
		// sockets, without their creation and their options
		unix.SYS_BIND, unix.SYS_LISTEN, unix.SYS_ACCEPT, unix.SYS_ACCEPT4, unix.SYS_CONNECT, unix.SYS_GETSOCKNAME,
		unix.SYS_GETPEERNAME, unix.SYS_SENDTO, unix.SYS_RECVFROM, unix.SYS_SENDMSG, unix.SYS_RECVMSG, unix.SYS_SENDMMSG,
		unix.SYS_RECVMMSG, unix.SYS_GETSOCKOPT, unix.SYS_SHUTDOWN,
		// the system
		unix.SYS_UNAME, unix.SYS_SYSINFO, unix.SYS_GETRANDOM,
	}
}
