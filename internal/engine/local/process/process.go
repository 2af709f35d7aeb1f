package process

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/guest"
	"github.com/lateen-dev/lateen/internal/sandbox"
	"github.com/lateen-dev/lateen/internal/upstream"
)

const (
	killAfter  = 500 * time.Millisecond // from SIGTERM to SIGKILL
	lingerTime = time.Second            // for a process that closed its control connection to exit by itself, so that its status is not lost; generous for a busy host

	maxRefusal = 64 << 10 // bytes of an agent's reason
)

// Process is a booted runtime process: blank until it gets a function.
type Process struct {
	name      string // name of its socket
	Sandboxed *sandbox.Process
	handles   *handles
	Upstream  *upstream.Client
	Output    *Output
	Link      *Link
	inside    func(path string) string // translates a path of the host into the process's view
	// Interpreter is the interpreter of the command, with paths of the process.
	Interpreter []string

	messages  *guest.Reader // messages of the control connection
	Tag       string        // tag of the code caches that the process can read; set before Waiting is closed
	BootedTag string        // tag of the code caches that booted processes can read; "": the process was booted

	Waiting    chan struct{} // closed when the process waits for a function
	Exited     chan struct{} // closed when the process has ended; state and unread are set before
	foreground atomic.Bool   // moved out of the background priority
	held       atomic.Int64  // last result of Memory
	State      sandbox.Exit
	Unread     bool // the process ended before it read all messages

	mu       sync.Mutex // guards the fields below
	receiver func(guest.Message)
	killer   *time.Timer // runs after SIGTERM
}

// WarmUp sends the requests, and returns when the process waits for a function.
func (w *Process) WarmUp(ctx context.Context, requests []*http.Request) error {
	for _, req := range requests {
		if err := w.sendWarmUp(req.WithContext(ctx)); err != nil {
			return fmt.Errorf("warm up: %w", w.explainWarmUp(ctx, err))
		}
	}
	select {
	case <-w.Waiting:
		return nil
	case <-w.Exited:
		return fmt.Errorf("the process ended: %s", w.State)
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// explainWarmUp returns the exit status if the end of the process broke the connection,
// which the engine notices first. It waits no longer than a process may linger.
func (w *Process) explainWarmUp(ctx context.Context, broken error) error {
	timer := time.NewTimer(lingerTime)
	defer timer.Stop()
	select {
	case <-w.Exited:
		return fmt.Errorf("the process ended: %s", w.State)
	case <-timer.C:
	case <-ctx.Done():
	}
	return broken
}

func (w *Process) sendWarmUp(req *http.Request) error {
	resp, err := w.Upstream.RoundTrip(req, 0)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("the answer was %s", resp.Status)
	}
	_, err = io.Copy(io.Discard, resp.Body)
	return err
}

// readMessages handles messages until the process has ended, then cleans up.
func (w *Process) readMessages() {
	var written sync.WaitGroup
	written.Go(func() { w.Output.copy(w.handles.stdout, lateen.LevelInfo) })
	written.Go(func() { w.Output.copy(w.handles.stderr, lateen.LevelError) })
	for {
		m, err := w.messages.Next()
		if err != nil { // the process has ended, or its connection is unusable
			w.Unread = errors.Is(err, syscall.ECONNRESET)
			break
		}
		w.receive(m)
	}
	lingers := time.AfterFunc(lingerTime, w.Kill) // a process that closed the connection is exiting, and its status matters
	w.State = w.Sandboxed.Wait()
	lingers.Stop()
	w.handles.endOutput()
	written.Wait()
	w.handles.close()
	w.Upstream.Close()
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.killer != nil {
		w.killer.Stop()
	}
	close(w.Exited)
}

func (w *Process) receive(m guest.Message) {
	w.mu.Lock()
	receiver := w.receiver
	w.mu.Unlock()
	receiver(m)
}

// receiveBlank handles the messages of a process without a function.
func (w *Process) receiveBlank(m guest.Message) {
	if m.Type == guest.TypeWaiting {
		var p guest.Waiting
		_ = m.Into(&p) // without a tag the process reads no code caches
		w.Tag = p.Tag
		w.mu.Lock()
		w.receiver = func(guest.Message) {} // a waiting process sends nothing more
		w.mu.Unlock()
		close(w.Waiting)
	}
}

// Activate sends a function to the process; receiver gets the messages.
func (w *Process) Activate(a guest.Activate, receiver func(guest.Message)) error {
	w.mu.Lock()
	w.receiver = receiver
	w.mu.Unlock()
	return guest.Write(w.handles.control, guest.TypeActivate, a)
}

// Terminate sends SIGTERM to the process, and SIGKILL soon after.
func (w *Process) Terminate() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.killer != nil || w.Gone() {
		return
	}
	_ = w.Sandboxed.Terminate() // it fails only if the process has ended
	w.killer = time.AfterFunc(killAfter, w.Kill)
}

// Claim ends the background priority; false if the process has ended.
func (w *Process) Claim() bool {
	if w.Lost() {
		return false
	}
	if w.foreground.Swap(true) {
		return true
	}
	if err := w.Sandboxed.Foreground(); err != nil {
		w.Kill()
		return false
	}
	return true
}

// Lost reports whether the process has ended. It asks the control connection,
// because the kernel closes the process's end before Wait returns.
func (w *Process) Lost() bool {
	if w.Gone() {
		return true
	}
	conn, ok := w.handles.control.(*net.UnixConn)
	if !ok {
		return false
	}
	raw, err := conn.SyscallConn()
	if err != nil {
		return true
	}
	ended := false
	err = raw.Control(func(fd uintptr) {
		n, _, err := unix.Recvfrom(int(fd), make([]byte, 1), unix.MSG_PEEK|unix.MSG_DONTWAIT)
		ended = n == 0 && err == nil || errors.Is(err, unix.ECONNRESET)
	})
	return ended || err != nil
}

// Memory is the number of bytes that the process holds; 0 if unknown.
func (w *Process) Memory() int64 {
	u, err := w.Sandboxed.Usage()
	if err != nil {
		return 0 // the process has just ended
	}
	w.held.Store(u.Memory)
	return u.Memory
}

// Kill kills the process.
func (w *Process) Kill() { _ = w.Sandboxed.Kill() } // it fails only if the process has ended

// Operate requests an operation of the agent, such as [guest.OperationFork]; a refusal is
// an error.
func (w *Process) Operate(ctx context.Context, operation string) (*http.Response, error) {
	req := (&http.Request{Method: http.MethodGet, URL: &url.URL{Path: "/"}, Host: "agent", Header: http.Header{}}).WithContext(ctx)
	req.Header.Set(guest.HeaderOperation, operation)
	resp, err := w.Upstream.RoundTrip(req, 0)
	if err != nil {
		return nil, fmt.Errorf("request an operation of the agent: %w", err)
	}
	if resp.StatusCode == http.StatusOK {
		return resp, nil
	}
	defer resp.Body.Close()
	reason, err := io.ReadAll(io.LimitReader(resp.Body, maxRefusal))
	if err != nil {
		return nil, fmt.Errorf("request an operation of the agent: %w", err)
	}
	return nil, RefusalError(bytes.ToValidUTF8(reason, nil))
}

// RefusalError is an agent's reason to refuse a request.
type RefusalError string

// Error returns the reason.
func (r RefusalError) Error() string { return string(r) }

// Control returns the control connection of the process.
func (w *Process) Control() net.Conn { return w.handles.control }

// Gone reports whether the process has ended and its output is complete.
func (w *Process) Gone() bool {
	select {
	case <-w.Exited:
		return true
	default:
		return false
	}
}

// Deliver makes receiver get the further messages of the process.
func (w *Process) Deliver(receiver func(guest.Message)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.receiver = receiver
}

// Send sends a message with descriptors to the agent of a process that forks. The
// caller sends one message at a time.
func (w *Process) Send(message []byte, files []*os.File, deadline time.Time) error {
	conn, ok := w.handles.control.(*net.UnixConn)
	if !ok {
		return errors.ErrUnsupported
	}
	if err := conn.SetWriteDeadline(deadline); err != nil { // the process may not be reading
		return fmt.Errorf("order a fork: %w", err)
	}
	if _, _, err := conn.WriteMsgUnix(message, rightsOf(files), nil); err != nil {
		return fmt.Errorf("order a fork: %w", err)
	}
	return nil
}
