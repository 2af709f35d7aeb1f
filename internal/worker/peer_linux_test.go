package worker_test

import (
	"context"
	"crypto/rand"
	"errors"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/worker"
)

// asAnother runs f on a thread of another user.
func asAnother(t *testing.T, f func()) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can change its user")
	}
	ended := make(chan unix.Errno)
	go func() {
		runtime.LockOSThread() // for good, so that the thread ends
		const keep, nobody = ^uintptr(0), 65534
		_, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, keep, nobody, keep)
		if errno == 0 {
			f()
		}
		ended <- errno
	}()
	if errno := <-ended; errno != 0 {
		t.Fatal(errno)
	}
}

// listenAnywhere listens on an abstract socket, which every user can connect to.
func listenAnywhere(t *testing.T) net.Listener {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "unix", "@lateen-test-"+rand.Text())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// provider is a backend that provides every runtime.
type provider struct{ worker.Backend }

func (provider) Provide(context.Context, *lateen.Function) error { return nil }

func TestAServerRefusesOtherUsers(t *testing.T) {
	l := listenAnywhere(t)
	run(t, worker.NewServer(worker.ServerOptions{Backend: provider{}, Listener: l, Events: worker.NewEvents()}).Run)
	connect := func() (net.Conn, error) { return new(net.Dialer).DialContext(t.Context(), "unix", l.Addr().String()) }
	ask := func(conn net.Conn, err error) error {
		if err != nil {
			t.Fatal(err)
		}
		client := worker.New(worker.ClientOptions{Dial: func(context.Context) (net.Conn, error) { return conn, nil }})
		return client.Provide(t.Context(), &lateen.Function{})
	}
	if err := ask(connect()); err != nil {
		t.Errorf("the same user: %v", err)
	}
	var conn net.Conn
	var err error
	asAnother(t, func() { conn, err = connect() })
	if err := ask(conn, err); !errors.Is(err, worker.ErrUnreachable) {
		t.Errorf("another user: %v", err)
	}
}

func TestAClientRefusesTheSocketOfAnotherUser(t *testing.T) {
	var l net.Listener
	asAnother(t, func() { l = listenAnywhere(t) })
	dial := worker.Dial(l.Addr().String())
	if conn, err := dial(t.Context()); err == nil {
		conn.Close()
		t.Fatal("it connects")
	}
	_, err := worker.New(worker.ClientOptions{Dial: dial}).Invoke(t.Context(), lateen.FunctionSpec{}, (&stage{T: t}).request("GET", "/", nil), new(lateen.Invocation))
	if !errors.Is(err, worker.ErrUnreachable) || !strings.Contains(err.Error(), "65534") {
		t.Errorf("the error is %v", err)
	}
}

func TestASocketReplacesNoOtherFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte("kept"), 0o600); err != nil {
		t.Fatal(err)
	}
	if l, err := worker.Listen(t.Context(), path); err == nil {
		l.Close()
		t.Error("it listens in place of a file")
	}
	if text, err := os.ReadFile(path); string(text) != "kept" {
		t.Errorf("the file is %q, %v", text, err)
	}
}
