// Forks a process from a zygote into an empty sandbox, which JavaScript cannot do.
// An addon of Node.js (Node-API 8) like fork.c, beside which it is loaded.
//
//   bear(fd) → undefined   serves orders that come with descriptors; returns in each child
//
// The child must be in namespaces that the zygote is not in, and its parent must be
// the sandbox's first process. So three processes are created, each by the one before:
//
//   the first helper enters the namespaces. It shares the zygote's memory, but it is
//     a process with one thread, which the kernel requires to enter a user namespace;
//   the second helper is created inside the process namespace, which the first enters
//     for its children only, and shares that memory, too;
//   the child has memory of its own. The second helper exits, and the kernel
//     makes the first process of the namespace the child's parent.
//
// The zygote is suspended until both helpers have exited, for they use its memory.

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

typedef struct env *napi_env;
typedef struct value *napi_value;
typedef struct info *napi_callback_info;
typedef napi_value (*napi_callback)(napi_env, napi_callback_info);
struct uv_loop_s;

extern int napi_get_cb_info(napi_env, napi_callback_info, size_t *, napi_value *, napi_value *, void **);
extern int napi_get_value_int32(napi_env, napi_value, int32_t *);
extern int napi_create_function(napi_env, const char *, size_t, napi_callback, void *, napi_value *);
extern int napi_set_named_property(napi_env, napi_value, const char *, napi_value);
extern int napi_get_uv_event_loop(napi_env, struct uv_loop_s **);
extern int napi_throw_error(napi_env, const char *, const char *);
extern int uv_loop_fork(struct uv_loop_s *);
extern void uv_update_time(struct uv_loop_s *);

// Symbols of the C library since version 2.35.
extern const ptrdiff_t __rseq_offset __attribute__((weak));
extern const unsigned int __rseq_size __attribute__((weak));

// The hash of this file, by which a test compares an object with its source.
__attribute__((used)) static const char source[] = SOURCE;

enum {
	KEEPER = 4, // index of the pidfd of the sandbox's first process among the descriptors of an order
	GIVEN = 5,
	CONTROL = 3,
	OWN = 5,         // the first descriptor of the runtime: lower ones belong to the guest
	FEW = 256,       // descriptors that the runtime opens by itself
	MAX_FILTER = 1024,
	FAILED = 97,
};
static const int places[KEEPER] = {CONTROL, 4, 1, 2}; // control, listener, stdout, stderr

// order describes the child. The platform writes the same layout (sandbox.Process.Order).
static struct {
	uint32_t namespaces; // to enter, as for setns(2)
	uint32_t id;         // of user and group
	uint32_t calls;      // length of the filter of system calls
	struct sock_filter filter[MAX_FILTER];
} order;

static struct {
	int fds[GIVEN];
	jmp_buf birth; // the place where the child continues
	int failed;    // errno of a helper
	pid_t self;
	char stacks[2][64 << 10] __attribute__((aligned(16)));
} work;

static int failed(void) {
	work.failed = errno ? errno : ECHILD;
	return FAILED;
}

// settle keeps the child's descriptors and closes the zygote's. It replaces the
// runtime's own descriptors by the null device, until the event loop opens them again.
// Helpers have descriptor tables of their own.
static int settle(void) {
	int null = open("/dev/null", O_RDWR | O_CLOEXEC), nothing = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (null < 0 || dup3(nothing, 0, O_CLOEXEC) < 0) return -1;
	for (int i = 0; i < KEEPER; i++) {
		// As Node.js creates them: closed on exec and, except for the control socket, non-blocking.
		if (dup3(work.fds[i], places[i], O_CLOEXEC) < 0) return -1;
		if (places[i] != CONTROL && fcntl(places[i], F_SETFL, O_NONBLOCK)) return -1;
	}
	for (int i = 0; i < GIVEN; i++) close(work.fds[i]);
	close(nothing);
	for (int fd = OWN; fd < FEW; fd++) {
		if (fd != null && fcntl(fd, F_GETFD) >= 0 && dup3(null, fd, O_CLOEXEC) < 0) return -1;
	}
	return syscall(SYS_close_range, FEW, ~0U, 0);
}

static int bring(void *nothing) {
	(void)nothing;
	if (settle()) return failed();
	pid_t child;
	do {
		// The C library's fork, which runs the handlers of pthread_atfork: the event loop has one.
		child = fork();
		// OpenSSL recognizes a fork by its process id, and then draws other random numbers.
		if (child == 0 && getpid() == work.self) _exit(FAILED);
		if (child == 0) longjmp(work.birth, 1);
	} while (child == work.self);
	return child < 0 ? failed() : 0;
}

static int enter(void *nothing) {
	(void)nothing;
	if (setns(work.fds[KEEPER], order.namespaces)) return failed();
	pid_t helper = clone(bring, work.stacks[1] + sizeof work.stacks[1], CLONE_VM | CLONE_VFORK | SIGCHLD, NULL);
	if (helper < 0) return failed();
	// Reaps the helper here, or the sandbox's first process would have to: the namespace
	// cannot end before.
	while (waitpid(helper, NULL, 0) == helper || errno == EINTR) {}
	return 0;
}

static void must(long result) {
	if (result < 0) _exit(FAILED);
}

// confine drops all rights of the child that processes in sandboxes do not have.
static void confine(void) {
	for (int c = 0; prctl(PR_CAPBSET_READ, c, 0, 0, 0) >= 0; c++) must(prctl(PR_CAPBSET_DROP, c, 0, 0, 0));
	must(syscall(SYS_setresgid, order.id, order.id, order.id));
	must(syscall(SYS_setgroups, 0, NULL));
	must(syscall(SYS_setresuid, order.id, order.id, order.id));
	must(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0));
	struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
	struct __user_cap_data_struct none[2] = {{0}};
	must(syscall(SYS_capset, &header, none));
	must(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	must(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)); // or root would own its files in /proc
	struct sock_fprog filter = {order.calls, order.filter};
	must(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &filter));
}

// live runs in the child: it identifies itself, and continues once the platform says so.
static void live(struct uv_loop_s *loop) {
	signal(SIGCHLD, SIG_DFL);
	must(kill(1, SIGUSR1)); // identifies this process to the keeper
	confine();
	must(setsid());
	// The kernel dropped the registration when it created the first helper.
	if (&__rseq_size && __rseq_size) {
#if defined(__x86_64__)
		const unsigned signature = 0x53053053;
#else
		const unsigned signature = 0xd428bc00;
#endif
		syscall(SYS_rseq, (char *)__builtin_thread_pointer() + __rseq_offset, 32, 0, signature);
	}
	char word = 0;
	must(write(CONTROL, &word, 1));
	if (read(CONTROL, &word, 1) != 1) _exit(0);
	if (uv_loop_fork(loop)) _exit(FAILED);
	uv_update_time(loop);
}

// receive reads an order. It returns 1 for an order, 0 for an invalid one and -1 at the end.
static int receive(int control) {
	char space[CMSG_SPACE(sizeof work.fds)];
	struct iovec io = {&order, sizeof order};
	struct msghdr m = {.msg_iov = &io, .msg_iovlen = 1, .msg_control = space, .msg_controllen = sizeof space};
	ssize_t n;
	do n = recvmsg(control, &m, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n <= 0) return -1;
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);
	if (!c || c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS || c->cmsg_len != CMSG_LEN(sizeof work.fds)) return 0;
	memcpy(work.fds, CMSG_DATA(c), sizeof work.fds);
	if ((size_t)n == offsetof(__typeof__(order), filter) + order.calls * sizeof *order.filter) return 1;
	for (int i = 0; i < GIVEN; i++) close(work.fds[i]);
	return 0;
}

static napi_value bear(napi_env env, napi_callback_info info) {
	size_t argc = 1;
	napi_value argv[1];
	int32_t control;
	struct uv_loop_s *loop;
	if (napi_get_cb_info(env, info, &argc, argv, NULL, NULL) || napi_get_value_int32(env, argv[0], &control) || napi_get_uv_event_loop(env, &loop)) {
		napi_throw_error(env, NULL, "bear takes a descriptor");
		return NULL;
	}
	signal(SIGCHLD, SIG_IGN); // the exit status of helpers is not used
	work.self = getpid();
	for (int got; (got = receive(control)) >= 0;) {
		work.failed = got ? 0 : EBADMSG;
		if (got) {
			if (setjmp(work.birth)) {
				live(loop);
				return NULL;
			}
			if (clone(enter, work.stacks[0] + sizeof work.stacks[0], CLONE_VM | CLONE_VFORK | SIGCHLD, NULL) < 0) failed();
			for (int i = 0; i < GIVEN; i++) close(work.fds[i]);
		}
		// To the guest's supervisor, as guest.Born: messages end with a NUL.
		if (dprintf(control, "{\"type\":\"born\",\"payload\":{\"error\":%d}}%c", work.failed, 0) < 0) break;
	}
	_exit(0); // the supervisor sends no more orders
}

__attribute__((visibility("default"))) int32_t node_api_module_get_api_version_v1(void) { return 8; }

__attribute__((visibility("default"))) napi_value napi_register_module_v1(napi_env env, napi_value exports) {
	napi_value function;
	if (napi_create_function(env, "bear", 4, bear, NULL, &function)) return NULL;
	return napi_set_named_property(env, exports, "bear", function) ? NULL : exports;
}
