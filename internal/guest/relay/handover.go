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

// handover is the face of a program that is an HTTP server. It answers each connection
// of the supervisor with a descriptor: a socket connected to the program. See
// [guest.Receive].
type handover struct {
	watch   *watch
	control *guest.Sender
	port    uint16       // $PORT
	ipc     net.Listener // nil: the directory's path is too long

	protocolSeen chan struct{}            // closed once the program speaks the protocol
	started      chan guest.ServerStarted // receives the program's message, once
	once         sync.Once
	address      *net.TCPAddr // address of the server, once it is ready
}

func newHandover(w *watch, c *guest.Sender) (*handover, error) {
	h := &handover{watch: w, control: c, protocolSeen: make(chan struct{}), started: make(chan guest.ServerStarted, 1)}
	free, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // closed at once
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
		return nil, fmt.Errorf("create a directory for a socket: %w", err)
	}
	if path := filepath.Join(dir, "ipc"); len(path) < 104 { // limit of kernels for a socket's path
		if h.ipc, err = net.Listen("unix", path); err != nil { //nolint:noctx // open for the life of the process
			return nil, fmt.Errorf("listen for the program: %w", err)
		}
		go h.receiveMessages()
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

// receiveMessages receives the program's messages to the platform.
func (h *handover) receiveMessages() {
	for {
		conn, err := h.ipc.Accept()
		if err != nil {
			return
		}
		h.once.Do(func() { close(h.protocolSeen) })
		go func() {
			defer conn.Close() //nolint:errcheck // nothing is written to it
			for messages := guest.NewReader(conn); ; {
				raw, err := messages.Raw()
				if err != nil {
					return
				}
				h.forward(raw)
			}
		}()
	}
}

// forward forwards a message, except the one with the server's port.
func (h *handover) forward(raw []byte) {
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
		default: // a repeated message
		}
	}
}

// ready waits until the program listens at $PORT, or reports its port. A program that
// speaks the protocol sends its first message before it listens, so a listener at $PORT
// that appears after that may be only a part of it.
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
		case <-h.protocolSeen:
		default:
			return guest.ServerStarted{Connects: true, Silent: true}, nil
		}
	case <-h.protocolSeen:
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
	h.address, err = h.watch.await(ctx, cmp.Or(s.HTTPPort, h.port)) // the message may come a moment before listen(2)
	return guest.ServerStarted{Connects: true}, err
}

// serve answers connections of the supervisor with connections to the program.
func (h *handover) serve(supervisor net.Listener) {
	for {
		conn, err := supervisor.Accept()
		if err != nil {
			return
		}
		if unix, ok := conn.(*net.UnixConn); ok { // the listener has no others
			go h.connect(unix)
		}
	}
}

// connect answers a connection of the supervisor with a connection to the program, or
// closes it if the program takes none.
func (h *handover) connect(supervisor *net.UnixConn) {
	defer supervisor.Close()                        //nolint:errcheck // the connection has served its purpose
	conn, err := net.DialTCP("tcp", nil, h.address) // on this host: accepted or refused at once
	if err != nil {
		return
	}
	defer conn.Close() //nolint:errcheck // the supervisor has a descriptor of its own
	raw, err := conn.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) { // the supervisor notices a missing descriptor
		_, _, _ = supervisor.WriteMsgUnix([]byte{0}, syscall.UnixRights(int(fd)), nil)
	})
}
