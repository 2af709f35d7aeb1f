// The keeper: the init process of a sandbox, without a C library, so that it uses a
// few pages of memory only.
//
//   keeper run PROGRAM ARGUMENT...
//     is the first process of a process namespace. It starts the program, passes
//     SIGTERM on to it, reaps orphaned processes, and exits with the program's
//     status, or with 128 plus the number of the signal that ended it: the kernel
//     then ends all others in the namespace. It keeps no descriptor open.
//
//   keeper hold
//     does the same for a program that a zygote forks into the namespace (see
//     guest/native/zygote.c): the first process that sends SIGUSR1. All signals must
//     be blocked when it starts, so that none is lost.
//
//   keeper attach HOST GUEST
//     mounts a file or directory of the host, read-only, in the mount namespace of
//     the process whose pidfd is descriptor 3, by entering the user namespace of
//     that process. It writes errors to descriptor 2.
//
// `make native` builds it; SOURCE is the hash of this file.
#include <asm/unistd.h>

#ifndef SOURCE
#define SOURCE "unknown"
#endif
__attribute__((used)) static const char source[] = "source sha256:" SOURCE;

#if defined(__x86_64__)
__asm__(".globl _start\n_start:\n\txor %ebp, %ebp\n\tmov %rsp, %rdi\n\tand $-16, %rsp\n\tcall begin\n");

static long call(long n, long a, long b, long c, long d, long e) {
	long result;
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	__asm__ volatile("syscall" : "=a"(result) : "a"(n), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8) : "rcx", "r11", "memory");
	return result;
}
#elif defined(__aarch64__)
__asm__(".globl _start\n_start:\n\tmov x29, #0\n\tmov x0, sp\n\tbl begin\n");

static long call(long n, long a, long b, long c, long d, long e) {
	register long x8 __asm__("x8") = n;
	register long x0 __asm__("x0") = a;
	register long x1 __asm__("x1") = b;
	register long x2 __asm__("x2") = c;
	register long x3 __asm__("x3") = d;
	register long x4 __asm__("x4") = e;
	__asm__ volatile("svc #0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4) : "memory");
	return x0;
}
#else
#error "no such architecture"
#endif

enum {
	at_fdcwd = -100,
	at_empty_path = 0x1000,
	at_recursive = 0x8000,
	clone_newns = 0x20000,
	clone_newuser = 0x10000000,
	open_tree_clone = 1,
	open_tree_cloexec = 02000000,
	move_mount_f_empty_path = 4,
	mount_attr_rdonly_nosuid_nodev = 1 | 2 | 4,
	sig_setmask = 2,
	sigkill = 9,
	sigusr1 = 10,
	sigterm = 15,
	sigchld = 17,
	wnohang = 1,
	eintr = 4,
	pr_set_dumpable = 4,
	pidfd = 3,
};

static long length(const char *text) {
	long n = 0;
	while (text[n])
		n++;
	return n;
}

static void say(const char *text) { call(__NR_write, 2, (long)text, length(text), 0, 0); }

// fail prints the action that failed, its object and the number of the error, and exits.
static void fail(const char *what, const char *to, long error, int status) {
	char digits[] = "000";
	for (long n = -error, at = 2; at >= 0; at--, n /= 10)
		digits[at] = (char)('0' + n % 10);
	say("sandbox: ");
	say(what);
	say(" ");
	say(to);
	say(": error ");
	say(digits);
	say("\n");
	call(__NR_exit_group, status, 0, 0, 0, 0);
	__builtin_unreachable();
}

static void must(long result, const char *what, const char *to) {
	if (result < 0 && result > -4096)
		fail(what, to, result, 1);
}

// reap collects the processes that have ended, and exits if the program is one of them.
static void reap(long program) {
	for (;;) {
		int status;
		long pid = call(__NR_wait4, -1, (long)&status, wnohang, 0, 0);
		if (pid <= 0)
			return;
		if (pid == program)
			call(__NR_exit_group, status & 0x7f ? 128 + (status & 0x7f) : status >> 8 & 0xff, 0, 0, 0, 0);
	}
}

// block blocks all signals and returns the previous mask.
static unsigned long block(void) {
	unsigned long all = ~0UL, before;
	must(call(__NR_rt_sigprocmask, sig_setmask, (long)&all, (long)&before, sizeof all, 0), "block", "signals");
	return before;
}

// keep handles signals until the program ends; 0 is a program that a zygote will fork.
static void keep(long program) {
	unsigned long awaited = 1UL << (sigchld - 1) | 1UL << (sigterm - 1) | 1UL << (sigusr1 - 1);
	struct {
		int signal, error, code, pad, pid, rest[27];
	} info;
	call(__NR_close_range, 0, ~0U, 0, 0, 0);
	call(__NR_prctl, pr_set_dumpable, 0, 0, 0, 0); // hides its memory from processes in the namespace
	for (;;) {
		long signal = call(__NR_rt_sigtimedwait, (long)&awaited, (long)&info, 0, sizeof awaited, 0);
		if (signal == sigusr1)
			program = program ? program : info.pid;
		else if (signal == sigterm && program)
			call(__NR_kill, program, sigterm, 0, 0, 0);
		else if (signal == sigchld)
			reap(program);
		else if (signal != -eintr)
			call(__NR_exit_group, 125, 0, 0, 0, 0);
	}
}

static void run(char **argv, char **env) {
	unsigned long before = block();
	long program = call(__NR_clone, sigchld, 0, 0, 0, 0);
	must(program, "start", argv[0]);
	if (program == 0) {
		call(__NR_setsid, 0, 0, 0, 0, 0);
		call(__NR_rt_sigprocmask, sig_setmask, (long)&before, 0, sizeof before, 0);
		fail("execute", argv[0], call(__NR_execve, (long)argv[0], (long)argv, (long)env, 0, 0), 126);
	}
	keep(program);
}

static void attach(const char *host, const char *guest) {
	struct {
		unsigned long long set, clear, propagation, userns;
	} attributes = {mount_attr_rdonly_nosuid_nodev, 0, 0, 0};
	must(call(__NR_setns, pidfd, clone_newuser, 0, 0, 0), "enter the user namespace of", guest);
	must(call(__NR_unshare, clone_newns, 0, 0, 0, 0), "copy the mounts for", guest);
	long tree = call(__NR_open_tree, at_fdcwd, (long)host, open_tree_clone | open_tree_cloexec | at_recursive, 0, 0);
	must(tree, "open", host);
	must(call(__NR_mount_setattr, tree, (long)"", at_empty_path | at_recursive, (long)&attributes, sizeof attributes), "protect", host);
	must(call(__NR_setns, pidfd, clone_newns, 0, 0, 0), "enter the mount namespace of", guest);
	must(call(__NR_move_mount, tree, (long)"", at_fdcwd, (long)guest, move_mount_f_empty_path), "mount at", guest);
	call(__NR_exit_group, 0, 0, 0, 0, 0);
}

__attribute__((noreturn, used)) void begin(long *stack) {
	long argc = stack[0];
	char **argv = (char **)(stack + 1);
	if (argc >= 3 && argv[1][0] == 'r')
		run(argv + 2, argv + argc + 1);
	if (argc == 2 && argv[1][0] == 'h')
		keep(0);
	if (argc == 4 && argv[1][0] == 'a')
		attach(argv[2], argv[3]);
	fail("understand", "what to do", 0, 2);
	__builtin_unreachable();
}
