//go:build unix

package socket_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/socket"
)

// serve is the argument with which the test program runs as the server.
const serve = "serve-sockets"

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == serve {
		if err := server(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// server reads a line of each connection, and executes and answers the command in it.
func server() error {
	s, err := socket.Inherit(os.Environ(), os.Getpid())
	if err != nil {
		return err
	}
	for _, name := range socket.Vars() {
		os.Unsetenv(name)
	}
	listeners, err := s.Listeners()
	if err != nil {
		return err
	}
	failed := make(chan error, 1)
	for i, l := range listeners {
		go func() {
			for {
				c, err := l.Accept()
				if err == nil {
					err = answer(s, c, i)
				}
				if err != nil {
					failed <- err
				}
			}
		}()
	}
	return <-failed
}

func answer(s *socket.Set, c net.Conn, i int) error {
	defer c.Close()
	line, err := bufio.NewReader(c).ReadString('\n')
	if err != nil {
		return err
	}
	switch line = strings.TrimSpace(line); line {
	case "identity":
		_, err = fmt.Fprintf(c, "%d %s\n", i, os.Args[2])
	case "exec":
		generation, _ := strconv.Atoi(os.Args[2])
		err = s.Exec(os.Args[0], []string{os.Args[0], serve, strconv.Itoa(generation + 1)}, append(os.Environ(), "LISTEN_FDS=77"))
	case "missing program":
		failure := s.Exec("/nowhere/at/all", []string{"all"}, os.Environ())
		_, err = fmt.Fprintf(c, "%v\n", failure)
	case "child":
		out, fault := exec.Command("/bin/sh", "-c", "ls -l /proc/self/fd; env | grep LISTEN_").CombinedOutput()
		_, err = fmt.Fprintf(c, "%s%v\n", out, fault)
	}
	return err
}

// started is a server on sockets that the test has opened, as a supervisor does.
type started struct {
	t    *testing.T
	cmd  *exec.Cmd
	addr []string
}

func start(t *testing.T, n int, names string) *started {
	t.Helper()
	s := &started{t: t}
	// LISTEN_PID must be the process ID of the program, which is that of the shell.
	s.cmd = exec.CommandContext(t.Context(), "/bin/sh", "-c", `LISTEN_PID=$$ exec "$0" "$@"`, os.Args[0], serve, "0")
	for range n {
		l, f := listening(t)
		s.addr = append(s.addr, l.Addr().String())
		s.cmd.ExtraFiles = append(s.cmd.ExtraFiles, f)
	}
	s.cmd.Env = append(os.Environ(), fmt.Sprintf("LISTEN_FDS=%d", n), "LISTEN_FDNAMES="+names)
	s.cmd.Stderr = os.Stderr
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = s.cmd.Process.Signal(syscall.SIGTERM)
		_ = s.cmd.Wait()
	})
	return s
}

func listening(t *testing.T) (net.Listener, *os.File) {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f, err := l.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close(); f.Close() })
	return l, f
}

func ask(ctx context.Context, addr, line string) (string, error) {
	c, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	if err != nil {
		return "", err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		return "", err
	}
	if _, err := io.WriteString(c, line+"\n"); err != nil {
		return "", err
	}
	out, err := io.ReadAll(c)
	return strings.TrimSpace(string(out)), err
}

func (s *started) says(addr, line, want string) {
	s.t.Helper()
	if got, err := ask(s.t.Context(), addr, line); err != nil || got != want {
		s.t.Errorf("%s: got %q, %v; want %q", line, got, err, want)
	}
}

func TestSocketsPassFromProgramToProgramInOneProcess(t *testing.T) {
	s := start(t, 2, "web:admin")
	for generation := range 4 {
		s.says(s.addr[0], "identity", fmt.Sprintf("0 %d", generation))
		s.says(s.addr[1], "identity", fmt.Sprintf("1 %d", generation))
		if got, err := ask(t.Context(), s.addr[0], "exec"); got != "" {
			t.Errorf("the connection continued after the exec: %q, %v", got, err)
		}
	}
	s.says(s.addr[0], "identity", "0 4")
	if err := s.cmd.Process.Signal(syscall.Signal(0)); err != nil {
		t.Errorf("the process has ended: %v", err)
	}
}

func TestAFailedExecLeavesTheSocketsUnchanged(t *testing.T) {
	s := start(t, 3, "a:b:c")
	for range 20 { // the target range includes descriptors of the Go runtime
		s.says(s.addr[0], "missing program", "execute /nowhere/at/all: no such file or directory")
	}
	for i, addr := range s.addr {
		s.says(addr, "identity", fmt.Sprintf("%d 0", i))
	}
}

func TestChildrenGetNeitherSocketsNorVariables(t *testing.T) {
	s := start(t, 1, "web")
	for range 2 {
		got, err := ask(t.Context(), s.addr[0], "child")
		if err != nil || strings.Contains(got, "LISTEN_") || strings.Contains(got, "socket:") {
			t.Errorf("a child process has\n%s\n%v", got, err)
		}
		if _, err := ask(t.Context(), s.addr[0], "exec"); err != nil && !errors.Is(err, syscall.ECONNRESET) {
			t.Fatal(err)
		}
	}
}

func TestAClientThatConnectsBetweenTwoProcessesIsServedByTheNext(t *testing.T) {
	l, f := listening(t)
	first := exec.CommandContext(t.Context(), "/bin/sh", "-c", `LISTEN_PID=$$ exec "$0" "$@"`, os.Args[0], serve, "first")
	second := exec.CommandContext(t.Context(), "/bin/sh", "-c", `LISTEN_PID=$$ exec "$0" "$@"`, os.Args[0], serve, "second")
	for _, cmd := range []*exec.Cmd{first, second} {
		cmd.ExtraFiles, cmd.Env = []*os.File{f}, append(os.Environ(), "LISTEN_FDS=1")
	}
	if err := first.Start(); err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	if got, err := ask(t.Context(), addr, "identity"); got != "0 first" {
		t.Fatal(got, err)
	}
	_ = first.Process.Kill()
	_ = first.Wait()
	got := make(chan string, 1)
	go func() {
		text, err := ask(t.Context(), addr, "identity")
		got <- fmt.Sprint(text, err)
	}()
	if err := second.Start(); err != nil {
		t.Fatal(err)
	}
	if text := <-got; text != "0 second<nil>" {
		t.Error(text)
	}
	_ = second.Process.Kill()
	_ = second.Wait()
}

func TestMalformedVariablesAreRefused(t *testing.T) {
	pid := os.Getpid()
	own := fmt.Sprintf("LISTEN_PID=%d", pid)
	for _, row := range []struct {
		environ []string
		want    string // in the error; "": none
	}{
		{nil, ""},
		{[]string{"LISTEN_FDS=1", "LISTEN_PID=1"}, ""}, // for another process
		{[]string{"LISTEN_FDS=-1", "LISTEN_PID=1"}, ""},
		{[]string{"LISTEN_FDS=0", own, "LISTEN_FDNAMES="}, ""},
		{[]string{"LISTEN_FDS=0", own}, ""},
		{[]string{own}, ""},
		{[]string{"LISTEN_FDS=1"}, "LISTEN_PID is not"},
		{[]string{"LISTEN_FDS=1", "LISTEN_PID=me"}, `LISTEN_PID is "me"`},
		{[]string{"LISTEN_FDS=1", "LISTEN_PID=0"}, `LISTEN_PID is "0"`},
		{[]string{"LISTEN_FDS=1", "LISTEN_PID=-5"}, `LISTEN_PID is "-5"`},
		{[]string{"LISTEN_FDS=1", "LISTEN_PID=99999999999999999999"}, "not a process ID"},
		{[]string{"LISTEN_FDS=", own}, `LISTEN_FDS is ""`},
		{[]string{"LISTEN_FDS=one", own}, `LISTEN_FDS is "one"`},
		{[]string{"LISTEN_FDS=-1", own}, `LISTEN_FDS is "-1"`},
		{[]string{"LISTEN_FDS=65", own}, "from 0 to 64"},
		{[]string{"LISTEN_FDS=1000000", own}, "from 0 to 64"},
		{[]string{"LISTEN_FDS=2", own, "LISTEN_FDNAMES=web"}, "1 names"},
		{[]string{"LISTEN_FDS=0", own, "LISTEN_FDNAMES=web"}, "1 names"},
		{[]string{"LISTEN_FDS=64", own}, "not a socket"}, // so many sockets are not open
	} {
		s, err := socket.Inherit(row.environ, pid)
		switch {
		case row.want == "" && (err != nil || s.Len() != 0):
			t.Errorf("%v: %v, %v; want none and no error", row.environ, s, err)
		case row.want != "" && (!errors.Is(err, socket.ErrInherited) || !strings.Contains(err.Error(), row.want)):
			t.Errorf("%v: %v, want %q", row.environ, err, row.want)
		}
	}
}

func TestDescriptorsThatAreNotListeningTCPSocketsAreRefused(t *testing.T) {
	packets, err := new(net.ListenConfig).ListenPacket(t.Context(), "udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer packets.Close()
	udp, err := packets.(*net.UDPConn).File()
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close()
	local, err := new(net.ListenConfig).Listen(t.Context(), "unix", t.TempDir()+"/s")
	if err != nil {
		t.Fatal(err)
	}
	defer local.Close()
	unixFile, err := local.(*net.UnixListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer unixFile.Close()
	l, _ := listening(t)
	dialed, err := new(net.Dialer).DialContext(t.Context(), "tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer dialed.Close()
	connected, err := dialed.(*net.TCPConn).File()
	if err != nil {
		t.Fatal(err)
	}
	defer connected.Close()
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	for want, f := range map[string]*os.File{"does not listen": connected, "not a socket (": null, "Internet": unixFile, "listen for": udp} {
		cmd := exec.CommandContext(t.Context(), "/bin/sh", "-c", `LISTEN_PID=$$ exec "$0" "$@"`, os.Args[0], serve, "0")
		cmd.ExtraFiles, cmd.Env = []*os.File{f}, append(os.Environ(), "LISTEN_FDS=1")
		out, err := cmd.CombinedOutput()
		if err == nil || !strings.Contains(string(out), "descriptor 3 of LISTEN_FDS=1: ") || !strings.Contains(string(out), want) {
			t.Errorf("%s: %v %s", want, err, out)
		}
	}
}

func TestAKeptSocketOutlivesItsListener(t *testing.T) {
	l, _ := listening(t)
	var s socket.Set
	if err := s.Keep("web", l.(*net.TCPListener)); err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	c, err := new(net.Dialer).DialContext(t.Context(), "tcp", addr) // waits in the backlog
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	again, err := s.Listeners()
	if err != nil || len(again) != 1 || again[0].Addr().String() != addr {
		t.Fatalf("got %v, %v", again, err)
	}
	accepted, err := again[0].Accept()
	if err != nil || accepted.RemoteAddr().String() != c.LocalAddr().String() {
		t.Fatalf("got %v, %v", accepted, err)
	}
	accepted.Close()
	again[0].Close()
	if err := s.Close(); err != nil || s.Len() != 0 {
		t.Errorf("%v, %d left", err, s.Len())
	}
	if _, err := s.Listeners(); err != nil {
		t.Error(err)
	}
	if e, ok := errors.AsType[*lateen.Error](error(socket.ErrInherited)); !ok || e.Hint == "" {
		t.Error("the error has no hint")
	}
}
