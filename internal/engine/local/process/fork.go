package process

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/guest"
	"github.com/lateen-dev/lateen/internal/sandbox"
	"github.com/lateen-dev/lateen/internal/upstream"
)

// ForkTimeout bounds the time in which a process forks, and the new process becomes ready for a function.
const ForkTimeout = 5 * time.Second

// Fork makes a process that parent forks. order sends the order to fork, with the
// ends of the connections that are for the process; ended gets the process after its
// end. The process waits until guest.Settle.
func (h *Host) Fork(ctx context.Context, parent *Process, order func(ends []*os.File, deadline time.Time) error, ended func(*Process)) (*Process, error) {
	name := string(lateen.NewID[lateen.InstanceID]("", time.Now()))
	handles, err := h.open(name)
	if err != nil {
		return nil, err
	}
	w, err := h.adopt(ctx, parent, name, handles, order)
	if err != nil {
		handles.closeRemote()
		handles.close()
		h.clean(name, "")
		return nil, err
	}
	h.addStandby(w, h.ownerOf(parent))
	if !h.Go(func() {
		w.readMessages()
		h.endStandby(w)
		h.clean(name, "")
		ended(w)
	}) {
		w.Kill()
		w.readMessages()
		h.endStandby(w)
		h.clean(name, "")
		return nil, sandbox.ErrEnded
	}
	return w, nil
}

func (h *Host) adopt(ctx context.Context, parent *Process, name string, handles *handles, order func([]*os.File, time.Time) error) (*Process, error) {
	conn, ok := handles.control.(*net.UnixConn)
	if !ok {
		return nil, errors.ErrUnsupported
	}
	if err := passCredentials(conn); err != nil {
		return nil, err
	}
	if err := order(handles.remote[:], time.Now().Add(h.Scaled(ForkTimeout))); err != nil {
		return nil, err
	}
	handles.closeRemote()
	deadline := time.Now().Add(h.Scaled(ForkTimeout))
	if d, ok := ctx.Deadline(); ok && d.Before(deadline) {
		deadline = d
	}
	pid, first, err := firstMessage(conn, deadline)
	if err != nil {
		return nil, err
	}
	process, err := parent.Sandboxed.Adopt(pid)
	if err != nil {
		return nil, err
	}
	w := &Process{
		name: name, Sandboxed: process, handles: handles, inside: parent.inside, Output: &Output{sink: h.Logs}, Link: parent.Link, Tag: parent.Tag,
		messages: guest.NewReader(io.MultiReader(bytes.NewReader(first), conn)),
		Waiting:  make(chan struct{}), Exited: make(chan struct{}),
	}
	var waiting sync.Once
	w.receiver = func(m guest.Message) {
		if m.Type == guest.TypeWaiting {
			waiting.Do(func() { close(w.Waiting) })
		}
	}
	w.Upstream = &upstream.Client{Dial: func(ctx context.Context) (net.Conn, error) { return h.dial(ctx, name) }}
	return w, nil
}

// ForkInto makes a process that a zygote forks into an empty sandbox, and moves it
// into the sandbox's cgroup. order makes the zygote fork. On an error the sandbox is
// destroyed.
func (h *Host) ForkInto(ctx context.Context, zygote *Process, into *sandbox.Process, link *Link, order func(ends []*os.File) error) (*Process, error) {
	name := string(lateen.NewID[lateen.InstanceID]("", time.Now()))
	handles, err := h.open(name)
	if err == nil {
		if err = handles.fill(ctx, into, order); err != nil {
			handles.close()
			h.clean(name, "")
		}
		handles.closeRemote()
	}
	if err != nil {
		_ = into.Kill() // the process exists until Wait returns
		into.Wait()
		return nil, err
	}
	w := &Process{name: name, Sandboxed: into, handles: handles, inside: zygote.inside, Link: link}
	w.foreground.Store(true)
	return w, h.serve(w, "", platformOwner(false))
}

// fill makes a zygote fork a process with these ends into a sandbox.
func (x *handles) fill(ctx context.Context, into *sandbox.Process, order func(ends []*os.File) error) error {
	conn, ok := x.control.(*net.UnixConn)
	if !ok {
		return errors.ErrUnsupported
	}
	if err := passCredentials(conn); err != nil {
		return err
	}
	if err := order(x.remote[:]); err != nil {
		return err
	}
	deadline, _ := ctx.Deadline()
	pid, _, err := firstMessage(conn, deadline)
	if err == nil {
		err = into.Settle(pid)
	}
	if err != nil {
		return err
	}
	_, err = conn.Write([]byte{0})
	return err
}

// firstMessage returns the first message of a forked process, and the process ID that
// the kernel attests.
func firstMessage(conn *net.UnixConn, deadline time.Time) (pid int, said []byte, err error) {
	if err := conn.SetReadDeadline(deadline); err != nil {
		return 0, nil, err
	}
	buf, oob := make([]byte, 16<<10), make([]byte, 128)
	n, oobn, _, _, err := conn.ReadMsgUnix(buf, oob)
	if err == nil && n == 0 {
		err = io.EOF
	}
	if err != nil {
		return 0, nil, fmt.Errorf("read from the forked process: %w", err)
	}
	if pid, err = sender(oob[:oobn]); err != nil {
		return 0, nil, err
	}
	return pid, buf[:n], conn.SetReadDeadline(time.Time{})
}
