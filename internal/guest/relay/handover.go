package relay

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"

	"github.com/lateen-dev/lateen/internal/guest"
)

// handover is the face of a program that is an HTTP server. To each connection
// of the supervisor it answers with a descriptor: a socket connected to the
// program. See [guest.Receive].
type handover struct {
	watch   *watch
	control *guest.Sender
	port    uint16       // $PORT
	ipc     net.Listener // nil: there is no place for one

	spoken  chan struct{}            // closed once the program speaks the protocol
	started chan guest.ServerStarted // what it says, once
	once    sync.Once
	address *net.TCPAddr // of the server, once it is ready
}

func newHandover(w *watch, c *guest.Sender) (*handover, error) {
	h := &handover{watch: w, control: c, spoken: make(chan struct{}), started: make(chan guest.ServerStarted, 1)}
	free, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // it is closed at once
	if err != nil {
		return nil, fmt.Errorf("find a port for the program: %w", err)
	}
	if address, ok := free.Addr().(*net.TCPAddr); ok {
		h.port = uint16(address.Port)
	}
	if err := free.Close(); err != nil {
		return nil, fmt.Errorf("find a port for the program: %w", err)
	}
	dir, err := os.MkdirTemp("", ".lateen-")
	if err != nil {
		return nil, fmt.Errorf("make a place for a socket: %w", err)
	}
	if path := filepath.Join(dir, "ipc"); len(path) < 104 { // what the kernels take
		if h.ipc, err = net.Listen("unix", path); err != nil { //nolint:noctx // as long as the process lives
			return nil, fmt.Errorf("listen for the program: %w", err)
		}
		go h.hear()
	}
	return h, nil
}

func (h *handover) environment() []string {
	env := []string{"PORT=" + strconv.Itoa(int(h.port))}
	if h.ipc != nil {
		env = append(env, "VERCEL_IPC_PATH="+h.ipc.Addr().String())
	}
	return env
}

// hear passes on what the program says to the platform.
func (h *handover) hear() {
	for {
		conn, err := h.ipc.Accept()
		if err != nil {
			return
		}
		h.once.Do(func() { close(h.spoken) })
		go func() {
			defer conn.Close() //nolint:errcheck // nothing is written to it
			for messages := guest.NewReader(conn); ; {
				raw, err := messages.Raw()
				if err != nil {
					return
				}
				h.tell(raw)
			}
		}()
	}
}

// tell passes on a message, but for the one that says where the server is.
func (h *handover) tell(raw []byte) {
	var m guest.Message
	if err := json.Unmarshal(raw, &m); err != nil {
		return
	}
	if m.Type != guest.TypeServerStarted {
		h.control.Pass(raw)
		return
	}
	var s guest.ServerStarted
	if err := m.Into(&s); err == nil {
		select {
		case h.started <- s:
		default: // it has said so before
		}
	}
}

// ready waits for the program to listen at $PORT, or to say where it does. A
// program that speaks the protocol says so before it listens: what then comes
// to listen at $PORT is a part of it.
func (h *handover) ready(ctx context.Context) (s guest.ServerStarted, err error) {
	await, cancel := context.WithCancel(ctx)
	defer cancel()
	listens := make(chan *net.TCPAddr, 1)
	go func() {
		if address, err := h.watch.await(await, h.port); err == nil {
			listens <- address
		}
	}()
	select {
	case h.address = <-listens:
		select {
		case <-h.spoken:
		default:
			return guest.ServerStarted{Connects: true, Silent: true}, nil
		}
	case <-h.spoken:
	case <-ctx.Done():
		if others := listening(); others != "" && !errors.Is(context.Cause(ctx), errExited) {
			return s, fmt.Errorf("the program listens at port %s instead of $PORT, which is %d", others, h.port)
		}
		return s, context.Cause(ctx)
	}
	select {
	case s = <-h.started:
	case <-ctx.Done():
		return s, context.Cause(ctx)
	}
	h.address, err = h.watch.await(ctx, cmp.Or(s.HTTPPort, h.port)) // it may say so a moment early
	return guest.ServerStarted{Connects: true}, err
}

// serve hands out connections to the program.
func (h *handover) serve(supervisor net.Listener) {
	for {
		conn, err := supervisor.Accept()
		if err != nil {
			return
		}
		if unix, ok := conn.(*net.UnixConn); ok { // the listener is of no others
			go h.connect(unix)
		}
	}
}

// connect answers a connection of the supervisor with one to the program, or
// by hanging up where the program takes none.
func (h *handover) connect(supervisor *net.UnixConn) {
	defer supervisor.Close()                        //nolint:errcheck // what it was for is done
	conn, err := net.DialTCP("tcp", nil, h.address) // on this host: refused or taken, at once
	if err != nil {
		return
	}
	defer conn.Close() //nolint:errcheck // as above: it is the supervisor's now
	raw, err := conn.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) { // the supervisor finds out if it gets nothing
		_, _, _ = supervisor.WriteMsgUnix([]byte{0}, syscall.UnixRights(int(fd)), nil)
	})
}
