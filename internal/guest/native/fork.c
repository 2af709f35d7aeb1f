// Gives templates the calls that JavaScript lacks: fork, and receiving descriptors. It
// is an addon of Node.js (Node-API 8) that needs no headers but those of the C
// library, and also a library that is preloaded into Node.js: V8 marks its heap with
// MADV_DONTFORK, which madvise below ignores.
//
//   receive(fd)   serves forks; returns in each child
//   settle(fd)    populates memory as the supervisor requests, until it says to continue
//   limit(bytes)  sets the limit of the heap, which V8 derives from the host's memory when it boots
//   pid()         returns the process id
//   exit(status)  exits at once

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#define MADV_POPULATE_WRITE 23
#endif

typedef struct env *napi_env;
typedef struct value *napi_value;
typedef struct info *napi_callback_info;
typedef napi_value (*napi_callback)(napi_env, napi_callback_info);
struct uv_loop_s;

extern int napi_get_cb_info(napi_env, napi_callback_info, size_t *, napi_value *, napi_value *, void **);
extern int napi_get_value_int32(napi_env, napi_value, int32_t *);
extern int napi_get_value_int64(napi_env, napi_value, int64_t *);
extern int napi_create_int32(napi_env, int32_t, napi_value *);
extern int napi_create_function(napi_env, const char *, size_t, napi_callback, void *, napi_value *);
extern int napi_set_named_property(napi_env, napi_value, const char *, napi_value);
extern int napi_get_uv_event_loop(napi_env, struct uv_loop_s **);
extern int napi_throw_error(napi_env, const char *, const char *);
extern int uv_loop_fork(struct uv_loop_s *);
extern void uv_update_time(struct uv_loop_s *);

// Functions of V8's public C++ API. Removing a callback can set a new limit, which is
// the only way to set one.
typedef size_t (*near_limit)(void *, size_t, size_t);
__attribute__((weak)) extern void *isolate(void) __asm__("_ZN2v87Isolate10GetCurrentEv");
__attribute__((weak)) extern void add_near_limit(void *, near_limit, void *) __asm__("_ZN2v87Isolate24AddNearHeapLimitCallbackEPFmPvmmES1_");
__attribute__((weak)) extern void remove_near_limit(void *, near_limit, size_t) __asm__("_ZN2v87Isolate27RemoveNearHeapLimitCallbackEPFmPvmmEm");

// The hash of this file, by which a test compares an object with its source.
__attribute__((used)) static const char source[] = SOURCE;

// The number of descriptors that come with each message, and their numbers in the child.
enum { GIVEN = 4 };
static const int places[GIVEN] = {3, 4, 1, 2}; // control, listener, stdout, stderr

int madvise(void *address, size_t length, int advice) {
	if (advice == MADV_DONTFORK) return 0;
	return syscall(SYS_madvise, address, length, advice);
}

static int last_of(int *fds, int count) {
	for (int i = 0; i < count; i++) close(fds[i]);
	return 0;
}

// become separates a forked child from its template. A failure ends the child.
static void become(struct uv_loop_s *loop, pid_t template, int *fds) {
	signal(SIGCHLD, SIG_DFL);
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) || getppid() != template) _exit(97);
	setsid();
	// The received descriptors are none of the places, which are in use.
	for (int i = 0; i < GIVEN; i++) {
		// As Node.js creates them: closed on exec.
		if (dup3(fds[i], places[i], O_CLOEXEC) < 0) _exit(97);
	}
	last_of(fds, GIVEN);
	if (uv_loop_fork(loop)) _exit(97);
	uv_update_time(loop);
}

// rights reads the descriptors of a message and returns their number.
static int rights(struct msghdr *m, int *fds) {
	int count = 0;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) continue;
		int n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (int i = 0; i < n && count < GIVEN; i++) memcpy(&fds[count++], CMSG_DATA(c) + i * sizeof(int), sizeof(int));
	}
	return count;
}

// descriptor reads the argument of a function, and the event loop of its caller.
static int descriptor(napi_env env, napi_callback_info info, int32_t *control, struct uv_loop_s **loop) {
	size_t argc = 1;
	napi_value argv[1];
	if (napi_get_cb_info(env, info, &argc, argv, NULL, NULL) || napi_get_value_int32(env, argv[0], control) || napi_get_uv_event_loop(env, loop)) {
		napi_throw_error(env, NULL, "it takes a descriptor");
		return 0;
	}
	return 1;
}

static napi_value receive(napi_env env, napi_callback_info info) {
	int32_t control;
	struct uv_loop_s *loop;
	if (!descriptor(env, info, &control, &loop)) return NULL;
	pid_t self = getpid();
	signal(SIGCHLD, SIG_IGN); // the exit status of children is not used: the kernel reaps them
	for (;;) {
		char text[1];
		char space[CMSG_SPACE(sizeof(int) * GIVEN)];
		struct iovec io = {text, sizeof text};
		struct msghdr m = {.msg_iov = &io, .msg_iovlen = 1, .msg_control = space, .msg_controllen = sizeof space};
		ssize_t n;
		do n = recvmsg(control, &m, MSG_CMSG_CLOEXEC);
		while (n < 0 && errno == EINTR);
		if (n <= 0) {
			// No more forks. Children die with their template, so it waits for them.
			while (wait(NULL) > 0 || errno == EINTR) {}
			_exit(0);
		}
		int fds[GIVEN], count = rights(&m, fds);
		if (count != GIVEN) {
			last_of(fds, count);
			continue;
		}
		pid_t child = fork();
		if (child == 0) {
			become(loop, self, fds);
			return NULL;
		}
		last_of(fds, GIVEN); // if the fork failed, the supervisor sees that the descriptors are closed
	}
}

// A message of the supervisor: memory that will be used soon, which is cheaper to
// populate now than by page faults. The lowest bit of bytes is set if it will be
// written to. A message without bytes ends the wait.
struct range {
	uint64_t from, bytes;
};

static int hear(int control, struct range *r) {
	for (size_t had = 0; had < sizeof *r;) {
		ssize_t n = read(control, (char *)r + had, sizeof *r - had);
		if (n == 0 || (n < 0 && errno != EINTR)) return 0;
		if (n > 0) had += n;
	}
	return 1;
}

static napi_value settle(napi_env env, napi_callback_info info) {
	int32_t control;
	struct uv_loop_s *loop;
	if (!descriptor(env, info, &control, &loop)) return NULL;
	for (;;) {
		struct range r;
		if (!hear(control, &r)) _exit(0); // the supervisor has gone
		if (r.bytes == 0) break;
		// If the kernel does not support it for this range, page faults populate it later.
		madvise((void *)r.from, r.bytes & ~(uint64_t)1, r.bytes & 1 ? MADV_POPULATE_WRITE : MADV_POPULATE_READ);
	}
	uv_update_time(loop);
	return NULL;
}

static size_t stay(void *data, size_t current, size_t initial) {
	(void)data, (void)initial;
	return current;
}

static napi_value limit(napi_env env, napi_callback_info info) {
	size_t argc = 1;
	napi_value argv[1];
	int64_t bytes;
	if (napi_get_cb_info(env, info, &argc, argv, NULL, NULL) || napi_get_value_int64(env, argv[0], &bytes) || bytes <= 0) {
		napi_throw_error(env, NULL, "it takes a number of bytes");
		return NULL;
	}
	if (isolate && add_near_limit && remove_near_limit) {
		add_near_limit(isolate(), stay, NULL);
		remove_near_limit(isolate(), stay, bytes);
	}
	return NULL;
}

static napi_value pid(napi_env env, napi_callback_info info) {
	(void)info;
	napi_value result;
	return napi_create_int32(env, getpid(), &result) ? NULL : result;
}

static napi_value leave(napi_env env, napi_callback_info info) {
	size_t argc = 1;
	napi_value argv[1];
	int32_t status = 1;
	if (!napi_get_cb_info(env, info, &argc, argv, NULL, NULL) && argc == 1) napi_get_value_int32(env, argv[0], &status);
	_exit(status); // the runtime's own exit waits for threads that do not exist after a fork
}

__attribute__((visibility("default"))) int32_t node_api_module_get_api_version_v1(void) { return 8; }

__attribute__((visibility("default"))) napi_value napi_register_module_v1(napi_env env, napi_value exports) {
	struct {
		const char *name;
		napi_callback function;
	} all[] = {{"receive", receive}, {"settle", settle}, {"limit", limit}, {"pid", pid}, {"exit", leave}};
	for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
		napi_value function;
		if (napi_create_function(env, all[i].name, strlen(all[i].name), all[i].function, NULL, &function)) return NULL;
		if (napi_set_named_property(env, exports, all[i].name, function)) return NULL;
	}
	return exports;
}
