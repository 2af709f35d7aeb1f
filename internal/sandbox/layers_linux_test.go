package sandbox

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/lateen-dev/lateen/internal/cgroup"
)

// probe is the program of a test in a sandbox: it tries system calls and prints their
// errors.
func probe() {
	call := func(name string, n uintptr, args ...uintptr) {
		args = append(args, 0, 0, 0, 0, 0, 0)
		_, _, errno := unix.Syscall6(n, args[0], args[1], args[2], args[3], args[4], args[5])
		fmt.Printf("%s %d\n", name, errno)
	}
	path := uintptr(unsafe.Pointer(&[]byte("/\x00")[0]))
	call("mount", unix.SYS_MOUNT, path, path, path, unix.MS_BIND, 0)
	call("unshare", unix.SYS_UNSHARE, unix.CLONE_NEWUSER)
	call("setns", unix.SYS_SETNS, 0, 0)
	call("clone-user", unix.SYS_CLONE, unix.CLONE_NEWUSER|uintptr(unix.SIGCHLD))
	call("clone3", unix.SYS_CLONE3, 0, 0)
	call("ptrace", unix.SYS_PTRACE, unix.PTRACE_ATTACH, 1)
	call("bpf", unix.SYS_BPF, 0, 0, 0)
	call("io_uring", unix.SYS_IO_URING_SETUP, 1, 0)
	call("keyctl", unix.SYS_KEYCTL, 0, 0)
	call("userfaultfd", unix.SYS_USERFAULTFD, 0)
	call("perf", unix.SYS_PERF_EVENT_OPEN, 0, 0, 0, 0, 0)
	call("chroot", unix.SYS_CHROOT, path)
	call("open_by_handle", unix.SYS_OPEN_BY_HANDLE_AT, 0, 0, 0)
	call("vm_readv", unix.SYS_PROCESS_VM_READV, 1, 0, 0, 0, 0, 0)
	call("pidfd_getfd", unix.SYS_PIDFD_GETFD, 0, 0, 0)
	call("raw", unix.SYS_SOCKET, unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_ICMP)
	call("packet", unix.SYS_SOCKET, unix.AF_PACKET, unix.SOCK_RAW, 0)
	call("vsock", unix.SYS_SOCKET, unix.AF_VSOCK, unix.SOCK_STREAM, 0)
	call("alg", unix.SYS_SOCKET, unix.AF_ALG, unix.SOCK_SEQPACKET, 0)
	call("uevent", unix.SYS_SOCKET, unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_KOBJECT_UEVENT)
	call("sctp", unix.SYS_SOCKET, unix.AF_INET, unix.SOCK_STREAM, unix.IPPROTO_SCTP)
	call("mptcp", unix.SYS_SOCKET, unix.AF_INET6, unix.SOCK_STREAM, unix.IPPROTO_MPTCP)
	call("shm", unix.SYS_SHMGET, 0, 4096, 0o600)
	call("route", unix.SYS_SOCKET, unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_ROUTE)
	call("tcp", unix.SYS_SOCKET, unix.AF_INET, unix.SOCK_STREAM, 0)
	call("unix", unix.SYS_SOCKET, unix.AF_UNIX, unix.SOCK_STREAM, 0)
	call("tls", unix.SYS_SETSOCKOPT, ^uintptr(0), unix.IPPROTO_TCP, unix.TCP_ULP)
	call("newest", 4000)
	call("getpid", unix.SYS_GETPID)
}

// myself runs this test's program in a sandbox.
func myself(t *testing.T, s *Sandbox, role string, spec Spec) map[string]string {
	t.Helper()
	me, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	spec.Env = append(spec.Env, "SANDBOX_TEST="+role)
	spec.Mounts = append(spec.Mounts, Mount{Host: me, Guest: "/var/me"})
	out, exit := shell(t, s, spec, s.Inside(spec.Mounts, me))
	if exit.Code != 0 {
		t.Fatalf("%s\n%s", exit, out)
	}
	said := map[string]string{}
	for line := range strings.Lines(out) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		said[name] = value
	}
	return said
}

func TestSystemCallsAreThoseOfTheList(t *testing.T) {
	s := run(t)
	if !s.mode.Calls {
		t.Skip(s.Missing())
	}
	said := myself(t, s, "probe", Spec{})
	for errno, names := range map[unix.Errno]string{
		unix.EPERM:           "mount unshare setns clone-user ptrace bpf io_uring keyctl userfaultfd perf chroot open_by_handle vm_readv pidfd_getfd shm tls",
		unix.ENOSYS:          "clone3 newest",
		unix.EAFNOSUPPORT:    "packet vsock alg",
		unix.EPROTONOSUPPORT: "uevent raw sctp mptcp",
		0:                    "route tcp unix getpid",
	} {
		for name := range strings.FieldsSeq(names) {
			if said[name] != strconv.Itoa(int(errno)) {
				t.Errorf("%s: error %s, want %d (%v)", name, said[name], errno, errno)
			}
		}
	}
	if said = myself(t, s, "probe", Spec{Handover: true}); said["pidfd_getfd"] != strconv.Itoa(int(unix.EBADF)) || said["ptrace"] != strconv.Itoa(int(unix.EPERM)) {
		t.Errorf("where descriptors may be taken: error %s, and ptrace %s", said["pidfd_getfd"], said["ptrace"])
	}
}

func TestOnlyItsOwnProcessesAreSeen(t *testing.T) {
	s := run(t)
	if !s.mode.Processes {
		t.Skip(s.Missing())
	}
	out, _ := shell(t, s, Spec{}, `(cat /proc/1/environ; ls /proc/1/fd /proc/1/root; cat < /proc/1/mem) 2>/dev/null; echo /proc/[0-9]*; kill -9 1; kill -9 -1 2>/dev/null; echo alive; cat /proc/self/cgroup; cat /proc/kcore /proc/kallsyms 2>/dev/null | wc -c`)
	lines := strings.Split(out, "\n")
	if pids := strings.Fields(lines[0]); len(pids) != 1 {
		t.Errorf("the process sees %s", pids)
	}
	if !strings.Contains(out, "alive") || lines[len(lines)-1] != "0" || strings.Contains(out, "/lateen-") {
		t.Errorf("the process prints\n%s", out)
	}
}

func TestTheRootFileSystemHasFewFiles(t *testing.T) {
	s := run(t)
	needMounts(t, s)
	out, _ := shell(t, s, Spec{}, "echo /*; echo /etc/*; echo /dev/*; ls /proc/self/fd; cat /proc/self/mountinfo")
	root, rest, _ := strings.Cut(out, "\n")
	for name := range strings.FieldsSeq(root) {
		if !strings.Contains(" /bin /dev /etc /lib /lib32 /lib64 /libx32 /nix /gnu /proc /tmp /usr ", " "+name+" ") {
			t.Errorf("%s exists", name)
		}
	}
	etc, rest, _ := strings.Cut(rest, "\n")
	for name := range strings.FieldsSeq(etc) {
		if !strings.Contains(" /etc/ca-certificates /etc/group /etc/hostname /etc/hosts /etc/nsswitch.conf /etc/passwd /etc/pki /etc/resolv.conf /etc/ssl ", " "+name+" ") {
			t.Errorf("%s exists", name)
		}
	}
	for line := range strings.Lines(rest) {
		fields := strings.Fields(line)
		if len(fields) < 6 || fields[4] == "/tmp" || fields[4] == "/dev/shm" || strings.HasPrefix(fields[4], "/proc/") || !strings.HasPrefix(fields[4], "/") {
			continue
		}
		if !strings.HasPrefix(fields[5], "ro,") || !strings.Contains(fields[5], "nosuid") {
			t.Errorf("%s is mounted %s", fields[4], fields[5])
		}
	}
}

func TestTheNetworkIsItsOwn(t *testing.T) {
	s := run(t)
	if !s.Networks() {
		t.Skip(s.Missing())
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	abstract, err := net.Listen("unix", fmt.Sprintf("@lateen-test-%d", os.Getpid()))
	if err != nil {
		t.Fatal(err)
	}
	defer abstract.Close()
	env := []string{"TCP=" + listener.Addr().String(), "UNIX=" + abstract.Addr().String()}
	said := myself(t, s, "dial", Spec{Env: env})
	for _, name := range []string{"tcp", "unix", "metadata"} {
		if said[name] == "" || said[name] == "reached" {
			t.Errorf("%s: %q", name, said[name])
		}
	}
	if said["own"] != "reached" {
		t.Errorf("the own loopback: %q", said["own"])
	}
}

// dial tries addresses that the sandbox must not reach.
func dial() {
	own, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	for name, at := range map[string][2]string{
		"tcp": {"tcp", os.Getenv("TCP")}, "unix": {"unix", os.Getenv("UNIX")}, "metadata": {"tcp", "169.254.169.254:80"}, "own": {"tcp", own.Addr().String()},
	} {
		conn, err := net.DialTimeout(at[0], at[1], 10*time.Second)
		if err == nil {
			conn.Close()
			fmt.Println(name, "reached")
			continue
		}
		fmt.Println(name, err)
	}
}

// closer is closed by its Close.
type closer chan struct{}

func (c closer) Close() error { close(c); return nil }

func TestTheNetworkDeviceIsGivenToTheCaller(t *testing.T) {
	s := run(t)
	if !s.Connects() {
		t.Skip(s.Missing())
	}
	closed, given := make(closer), make(chan *os.File, 1)
	out, _ := shell(t, s, Spec{Network: func(device *os.File) (io.Closer, error) {
		given <- device
		return closed, nil
	}}, "grep eth0 /proc/net/dev; cat /etc/resolv.conf")
	(<-given).Close()
	if !strings.Contains(out, "eth0") || !strings.Contains(out, "nameserver") {
		t.Errorf("the process sees %q", out)
	}
	<-closed
	refused := errors.New("no more networks")
	_, err := s.Start(t.Context(), Spec{Path: "/bin/sh", Network: func(device *os.File) (io.Closer, error) {
		device.Close()
		return nil, refused
	}})
	if !errors.Is(err, refused) {
		t.Errorf("the error is %v", err)
	}
}

// talk starts a script and returns its standard input and output.
func talk(t *testing.T, s *Sandbox, spec Spec, script string) (*Process, *os.File, *bufio.Reader) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	in, more, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	spec.Path, spec.Args, spec.Stdout, spec.Stderr, spec.Files = "/bin/sh", []string{"-c", script}, w, w, []*os.File{in}
	spec.Env, spec.Mounts = []string{"PATH=/usr/bin"}, append(spec.Mounts, tools()...)
	p, err := s.Start(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	w.Close()
	in.Close()
	t.Cleanup(func() { more.Close(); r.Close() })
	return p, more, bufio.NewReader(r)
}

func TestAnAttachedTreeIsVisible(t *testing.T) {
	s := run(t)
	needMounts(t, s)
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "f"), []byte("here\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	p, in, out := talk(t, s, Spec{Late: []Place{{Guest: "/var/task"}, {Guest: "/var/archive", File: true}}},
		"ls /var/task | wc -l; read go <&3; cat /var/task/f /var/archive; (echo evil > /var/task/f) 2>/dev/null || echo safe")
	if line, _ := out.ReadString('\n'); line != "0\n" {
		t.Errorf("before Attach the process sees %q", line)
	}
	if err := errors.Join(p.Attach(dir, "/var/task"), p.Attach(filepath.Join(dir, "f"), "/var/archive")); err != nil {
		t.Fatal(err)
	}
	for _, guest := range []string{"/var/task", "/var/other", "/tmp"} {
		if err := p.Attach(dir, guest); err == nil {
			t.Errorf("a second tree was attached at %s", guest)
		}
	}
	in.WriteString("\n")
	if said, _ := io.ReadAll(out); string(said) != "here\nhere\nsafe\n" {
		t.Errorf("after Attach the process prints %q", said)
	}
	p.Wait()
	if err := p.Attach(dir, "/var/task"); err == nil {
		t.Error("a tree was attached to an ended process")
	}
}

func TestTheKernelKillsAProcessAtItsMemoryLimit(t *testing.T) {
	s := run(t)
	if !s.MemoryBound() {
		t.Skip(s.Missing())
	}
	p, in, _ := talk(t, s, Spec{}, "read go <&3; x=$(head -c 200000000 /dev/zero | tr '\\0' a); sleep 1000")
	if err := p.Limit(Limits{Memory: 32 << 20}); err != nil {
		t.Fatal(err)
	}
	in.WriteString("\n")
	// The kernel kills one process; the shell goes on to the next test.
	if deadline, ok := t.Deadline(); ok {
		timer := time.AfterFunc(time.Until(deadline)/2, func() { p.Kill() })
		defer timer.Stop()
	}
	if exit := p.Wait(); !exit.OutOfMemory || exit.String() != "it ran out of memory" || exit.Peak < 16<<20 || exit.CPU <= 0 {
		t.Errorf("the exit is %+v", exit)
	}
}

func TestFilesInTmpCountAsMemory(t *testing.T) {
	s := run(t)
	if !s.MemoryBound() {
		t.Skip(s.Missing())
	}
	_, exit := shell(t, s, Spec{Limits: Limits{Memory: 32 << 20}}, "exec head -c 100000000 /dev/zero > /tmp/big")
	if !exit.OutOfMemory {
		t.Errorf("the exit is %+v", exit)
	}
}

func TestAForkBombStaysSmall(t *testing.T) {
	s := run(t)
	out, _ := shell(t, s, Spec{Limits: Limits{Tasks: 20}}, "for i in 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2; do sleep 100 >/dev/null & done; echo all")
	if s.groups.Missing(cgroup.Tasks) != "" && !s.mode.User && !s.mode.Identity {
		t.Skip(s.Missing())
	}
	if strings.Contains(out, "all") {
		t.Error("the process has started more processes than its limit")
	}
}

func TestFrozenProcessesUseNoCPUAndCanBeKilled(t *testing.T) {
	s := run(t)
	p, _, out := talk(t, s, Spec{}, "trap 'echo asked; exit 3' TERM; echo up; while :; do :; done")
	if line, err := out.ReadString('\n'); line != "up\n" {
		t.Fatal(line, err)
	}
	err := p.Freeze()
	if errors.Is(err, errors.ErrUnsupported) {
		p.Kill()
		p.Wait()
		t.Skip(s.Missing())
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Terminate(); err != nil {
		t.Fatal(err)
	}
	if line, err := out.ReadString('\n'); line != "asked\n" {
		t.Error(line, err)
	}
	if exit := p.Wait(); exit.Code != 3 {
		t.Errorf("the exit is %+v", exit)
	}
}

func TestTheKeeperReapsOrphansAndReportsSignals(t *testing.T) {
	s := run(t)
	if !s.mode.Processes {
		t.Skip(s.Missing())
	}
	out, exit := shell(t, s, Spec{}, "(sleep 0.01 & sleep 0.01 &); for n in $(seq 300); do left=$(ps -o stat= -A 2>/dev/null | grep -c -e Z -e sleep); [ $left = 0 ] && break; sleep 0.1; done; echo $left; kill -SEGV $$")
	if out != "0" || exit.Signal != syscall.SIGSEGV || exit.Code != -1 {
		t.Errorf("%s orphans are left; the exit is %+v", out, exit)
	}
	if _, exit := shell(t, s, Spec{}, "exit 5"); exit.Code != 5 || exit.Signal != 0 {
		t.Errorf("the exit is %+v", exit)
	}
}

func TestAdoptedProcessesHaveTheirOwnLimitsAndEnd(t *testing.T) {
	s := run(t)
	if !s.mode.Processes {
		t.Skip(s.Missing())
	}
	p, _, out := talk(t, s, Spec{}, "sleep 1000 & echo up; wait; echo still; sleep 1000")
	if line, err := out.ReadString('\n'); line != "up\n" {
		t.Fatal(line, err)
	}
	child := onlyGrandchild(t, p)
	if _, err := p.Adopt(os.Getpid()); err == nil {
		t.Error("a process of the host was adopted")
	}
	if _, err := p.Adopt(p.ID()); err == nil {
		t.Error("the keeper was adopted")
	}
	other, _, _ := talk(t, s, Spec{}, "read go <&3")
	if _, err := other.Adopt(child); err == nil {
		t.Error("a process of another sandbox was adopted")
	}
	other.Kill()
	other.Wait()
	c, err := p.Adopt(child)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Limit(Limits{Memory: 64 << 20}); err != nil {
		t.Error(err)
	}
	if u, err := c.Usage(); err != nil || s.MemoryBound() && u.Memory > 8<<20 {
		t.Errorf("the usage is %+v, %v", u, err)
	}
	for _, err := range []error{c.Freeze(), c.Thaw()} {
		if err != nil && !errors.Is(err, errors.ErrUnsupported) {
			t.Error(err)
		}
	}
	if err := c.Kill(); err != nil {
		t.Error(err)
	}
	if exit := c.Wait(); exit.Code != -1 || exit.Signal != 0 && exit.Signal != syscall.SIGKILL {
		t.Errorf("the exit is %+v", exit)
	} else if exit.Signal == 0 {
		t.Log("this kernel does not report the exit")
	}
	if line, err := out.ReadString('\n'); line != "still\n" {
		t.Errorf("its parent prints %q, %v", line, err)
	}
	p.Kill()
	p.Wait()
	if err := c.Kill(); err != nil {
		t.Error(err)
	}
}

// onlyGrandchild returns the id of the process that the program of p has started.
func onlyGrandchild(t *testing.T, p *Process) int {
	t.Helper()
	for _, program := range childrenOf(p.ID()) {
		for _, child := range childrenOf(program) {
			return child
		}
	}
	t.Fatal("the program has started no process")
	return 0
}

func TestMissingLayersAreReportedWithReasons(t *testing.T) {
	s := run(t)
	for _, w := range s.Layers() {
		if w.Name == "" || w.Prevents == "" || w.Missing != "" && w.Remedy == "" {
			t.Errorf("%+v", w)
		}
		if w.Missing != "" && !strings.Contains(s.Missing(), w.Name) {
			t.Errorf("%q does not name %s", s.Missing(), w.Name)
		}
	}
}

func TestUnsandboxedProcessesDoNotRunAsRoot(t *testing.T) {
	s, err := Open(Options{Unsandboxed: true})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if !strings.Contains(s.Missing(), "without a sandbox") || s.PrivateTmp() || s.Networks() || s.MemoryBound() {
		t.Errorf("Missing returns %q", s.Missing())
	}
	if s.Identity() != (os.Geteuid() == 0) {
		t.Error("processes run as root")
	}
}

func TestAHostWithoutNeededLayersIsRefused(t *testing.T) {
	for _, test := range []struct {
		why  map[string]string
		want bool
	}{
		{map[string]string{"identity": "plain"}, false},
		{map[string]string{"user": "refused", "names": "refused"}, false},
		{map[string]string{"mounts": "refused"}, true},
		{map[string]string{"calls": "refused"}, true},
	} {
		s := &Sandbox{layers: layersOf(test.why, cgroup.None())}
		if err := s.requireLayers(); errors.Is(err, ErrUnavailable) != test.want {
			t.Errorf("without %v: %v", test.why, err)
		}
	}
}

// As root, TestAPlainUser repeats all tests above as a plain user.
func TestAPlainUser(t *testing.T) {
	if os.Geteuid() != 0 || testing.Short() {
		t.Skip("only root can change its user")
	}
	me, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "sandbox-plain-") //nolint:usetesting // a plain user can pass to it
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(dir, "sandbox.test")
	text, err := os.ReadFile(me)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(program, text, 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), program, "-test.v", "-test.skip", "TestKeepersAreBuilt")
	cmd.Env, cmd.Dir = []string{"HOME=/tmp", "PATH=/usr/bin:/bin", "TMPDIR=/tmp"}, "/tmp"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 61234, Gid: 61234}}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	for line := range strings.Lines(string(out)) {
		if strings.Contains(line, "--- SKIP") {
			t.Log(strings.TrimSpace(line))
		}
	}
}

func BenchmarkStart(b *testing.B) {
	s := bench(b)
	for b.Loop() {
		p, err := s.Start(b.Context(), Spec{Path: "/bin/sh", Args: []string{"-c", ":"}})
		if err != nil {
			b.Fatal(err)
		}
		p.Wait()
	}
}

func BenchmarkAttach(b *testing.B) {
	s, dir := bench(b), b.TempDir()
	for b.Loop() {
		b.StopTimer()
		r, w, _ := os.Pipe()
		p, err := s.Start(b.Context(), Spec{Path: "/bin/sh", Args: []string{"-c", "read x <&3"}, Files: []*os.File{r}, Late: []Place{{Guest: "/var/task"}}})
		if err != nil {
			b.Fatal(err)
		}
		r.Close()
		b.StartTimer()
		if err := p.Attach(dir, "/var/task"); err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		w.Close()
		p.Wait()
		b.StartTimer()
	}
}

func BenchmarkThaw(b *testing.B) {
	s := bench(b)
	in, more, _ := os.Pipe()
	r, w, _ := os.Pipe()
	p, err := s.Start(b.Context(), Spec{Path: "/bin/sh", Args: []string{"-c", "while read x <&3; do echo; done"}, Files: []*os.File{in}, Stdout: w})
	if err != nil {
		b.Fatal(err)
	}
	buffer := make([]byte, 1)
	for b.Loop() {
		b.StopTimer()
		if err := p.Freeze(); err != nil {
			b.Skip(err)
		}
		runtime.Gosched()
		b.StartTimer()
		if err := p.Thaw(); err != nil {
			b.Fatal(err)
		}
		more.WriteString("\n")
		r.Read(buffer)
	}
	p.Kill()
	p.Wait()
}

func bench(b *testing.B) *Sandbox {
	b.Helper()
	s, err := Open(Options{})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(b.Context()))
	done := make(chan struct{})
	go func() { defer close(done); s.Run(ctx) }()
	b.Cleanup(func() { cancel(); <-done; s.Close() })
	return s
}
