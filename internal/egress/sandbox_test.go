//go:build linux

package egress_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/lateen-dev/lateen/internal/egress"
	"github.com/lateen-dev/lateen/internal/netdev"
	"github.com/lateen-dev/lateen/internal/netdev/inner"
)

const guestName = "egress-guest" // argv[0] of a guest

func TestMain(m *testing.M) {
	if os.Args[0] == guestName {
		err := beGuest(context.Background(), os.Args[1], os.Args[2:]) //nolint:forbidigo // this is a main program
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// beGuest creates the device of its namespace, passes it out and runs a program.
func beGuest(ctx context.Context, program string, args []string) error {
	device, err := inner.Open()
	if err != nil {
		return err
	}
	if err := unix.Sendmsg(3, []byte{0}, unix.UnixRights(int(device.Fd())), nil, 0); err != nil {
		return err
	}
	device.Close()
	if _, err := unix.Read(3, make([]byte, 1)); err != nil { // until it is attached
		return err
	}
	run, ok := programs[program]
	if !ok {
		return errors.New("no such program: " + program)
	}
	return run(ctx, args)
}

// sandbox is a network namespace for a guest, owned by root or by a plain user.
type sandbox struct {
	*egress.Attachment

	refusals chan egress.Refusal
	cmd      *exec.Cmd
	start    *os.File // a byte starts the program
	out, err output
}

// output collects the output of a guest.
type output struct {
	mu   sync.Mutex // guards the fields below
	text bytes.Buffer
}

// Write implements [io.Writer].
func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(b)
}

// String is the output so far.
func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// start starts a guest behind network. A plain guest has no privileges outside its
// user namespace.
func start(t testing.TB, network *egress.Network, plain bool, program string, args ...string) *sandbox {
	t.Helper()
	s := attach(t, network, plain, program, args...)
	s.Permit(egress.Grant{Project: "prj", Refused: func(r egress.Refusal) { s.refusals <- r }})
	s.begin(t)
	return s
}

// attach starts a guest without permissions, whose program has not started.
func attach(t testing.TB, network *egress.Network, plain bool, program string, args ...string) *sandbox {
	t.Helper()
	s := &sandbox{refusals: make(chan egress.Refusal, 100)}
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	ours, theirs := os.NewFile(uintptr(pair[0]), "ours"), os.NewFile(uintptr(pair[1]), "theirs")
	t.Cleanup(func() { ours.Close() })
	defer theirs.Close()
	s.start = ours
	s.cmd = exec.CommandContext(t.Context(), "/proc/self/exe")
	s.cmd.Args = append([]string{guestName, program}, args...)
	s.cmd.ExtraFiles = []*os.File{theirs}
	s.cmd.Stdout, s.cmd.Stderr = &s.out, &s.err
	s.cmd.SysProcAttr = namespaces(plain)
	if err := s.cmd.Start(); err != nil {
		t.Skipf("this host permits no network namespace: %v", err)
	}
	theirs.Close()
	control := make([]byte, unix.CmsgSpace(4))
	_, n, _, _, err := unix.Recvmsg(pair[0], make([]byte, 1), control, unix.MSG_CMSG_CLOEXEC)
	if err != nil || n == 0 {
		_ = s.cmd.Wait()
		t.Skipf("the guest got no device: %v %s", err, s.err.String())
	}
	messages, err := unix.ParseSocketControlMessage(control[:n])
	if err != nil {
		t.Fatal(err)
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil {
		t.Fatal(err)
	}
	s.Attachment, err = network.Attach(t.Context(), os.NewFile(uintptr(fds[0]), "device"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// begin starts the guest's program.
func (s *sandbox) begin(t testing.TB) {
	t.Helper()
	if _, err := s.start.Write([]byte{0}); err != nil {
		t.Fatal(err)
	}
}

func namespaces(plain bool) *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET, Pdeathsig: unix.SIGKILL}
	id := os.Getuid()
	if plain && id == 0 {
		id = 65534
	}
	if id != 0 {
		attr.Cloneflags |= unix.CLONE_NEWUSER
		attr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: id, Size: 1}}
		attr.GidMappings = attr.UidMappings
		if os.Getuid() == 0 {
			attr.Credential = &syscall.Credential{}
		} else {
			attr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
		}
	}
	return attr
}

// wait waits for the end of the guest and returns its output.
func (s *sandbox) wait(t testing.TB) string {
	t.Helper()
	if err := s.cmd.Wait(); err != nil {
		t.Fatalf("%v: %v %s", s.cmd.Args, err, s.err.String())
	}
	return s.out.String()
}

// inside runs a guest to its end and returns its output.
func inside(t testing.TB, network *egress.Network, plain bool, program string, args ...string) string {
	t.Helper()
	return start(t, network, plain, program, args...).wait(t)
}

// inBoth runs a test with a guest of root and with a guest of a plain user.
func inBoth(t *testing.T, test func(t *testing.T, plain bool)) {
	t.Helper()
	t.Run("root", func(t *testing.T) {
		if os.Getuid() != 0 {
			t.Skip("not root")
		}
		test(t, false)
	})
	t.Run("plain", func(t *testing.T) { test(t, true) })
}

// runAsNobody runs the main tests of this program as an unprivileged user.
func runAsNobody(t *testing.T) {
	t.Helper()
	dir, err := os.MkdirTemp("", "egress") //nolint:usetesting // t.TempDir is closed to others
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	program, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	self := filepath.Join(dir, "egress.test")
	if err := errors.Join(os.Chmod(dir, 0o755), os.WriteFile(self, program, 0o755)); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self, "-test.run=Large|HalfClosed|NotPublic|Datagrams|Vanishes", "-test.v")
	cmd.Dir, cmd.SysProcAttr = dir, &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}, Pdeathsig: unix.SIGKILL}
	said, err := cmd.CombinedOutput()
	if err != nil || !bytes.Contains(said, []byte("--- PASS: TestAGuestFetchesAndSendsLargeBodiesWhole/plain")) {
		t.Errorf("as a plain user: %v\n%s", err, said)
	}
}

// listen listens on loopback and returns a network whose guests may connect to the
// listener.
func listen(t testing.TB, o egress.Options) (net.Listener, *egress.Network) {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	o.Host = append(o.Host, addrPort(l.Addr()))
	return l, egress.New(o)
}

// gateway is the address at which a guest reaches a listener of the host.
func gateway(l interface{ Addr() net.Addr }) string {
	return net.JoinHostPort(netdev.Gateway.String(), fmt.Sprint(addrPort(l.Addr()).Port()))
}

// serve accepts connections until the test ends.
func serve(t testing.TB, l net.Listener, handle func(*net.TCPConn)) {
	ctx := t.Context()
	go func() {
		for ctx.Err() == nil {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				stop := context.AfterFunc(ctx, func() { c.Close() })
				defer stop()
				if c, ok := c.(*net.TCPConn); ok {
					handle(c)
				}
			}()
		}
	}()
}
