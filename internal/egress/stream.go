package egress

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/waiter"

	"github.com/lateen-dev/lateen/internal/link"
)

// acceptStream answers a TCP connection, on a goroutine of its own: first it
// dials, so that the sandbox hears what became of that.
func (g *guestStack) acceptStream(r *tcp.ForwarderRequest) {
	a := g.attachment
	if !a.enter() {
		r.Complete(true)
		return
	}
	defer a.work.Done()
	to := destination(r.ID())
	n, ok := claim(&a.streams, a.network.o.Connections)
	if !ok || !a.network.take() {
		if ok {
			a.streams.Add(-1)
		}
		r.Complete(true)
		a.full(to)
		return
	}
	defer func() {
		a.streams.Add(-1)
		a.network.give()
	}()
	if isResolver(to) && a.permitted() {
		if end := g.establish(r, n); end != nil {
			a.answerStream(end)
		}
		return
	}
	dial, err := a.judge(to)
	if err != nil {
		r.Complete(true)
		return
	}
	host, err := a.network.dial(a.ctx, "tcp", dial)
	if err != nil {
		r.Complete(true)
		return
	}
	defer func() { _ = host.Close() }()
	if end := g.establish(r, n); end != nil {
		relay(a, end, host)
	}
}

// establish completes the handshake, or returns nil.
func (g *guestStack) establish(r *tcp.ForwarderRequest, n int64) *guest {
	var queue waiter.Queue
	endpoint, err := r.CreateEndpoint(&queue)
	r.Complete(err != nil)
	if err != nil {
		return nil
	}
	end := newGuest(endpoint, &queue)
	end.share(n)
	return end
}

// relay copies both ways until both ends are done. The end of a stream is
// passed on as such, a reset as a reset.
func relay(a *Attachment, end *guest, host net.Conn) {
	ctx, cancel := context.WithCancelCause(a.ctx)
	defer cancel(nil)
	defer context.AfterFunc(ctx, func() { cut(host) })()
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		if err := a.send(ctx, end, host); err != nil {
			cancel(err)
		}
	}()
	err := a.fetch(ctx, end, host)
	if err != nil {
		cancel(err)
	}
	<-sent
	if ctx.Err() == nil {
		err = linger(ctx, end, a.network.o.LingerTime)
	}
	end.close(err != nil || ctx.Err() != nil)
}

// cut ends a connection with a reset.
func cut(host net.Conn) {
	if c, ok := host.(*net.TCPConn); ok {
		_ = c.SetLinger(0) // it is closed all the same
	}
	_ = host.Close()
}

// send copies what the sandbox sends.
func (a *Attachment) send(ctx context.Context, end *guest, host net.Conn) error {
	for {
		if err := end.ready(ctx); err != nil {
			return err
		}
		n, err := a.sendSome(end, host)
		a.ledger.sent.Add(int64(n))
		if errors.Is(err, io.EOF) {
			return closeWrite(host)
		}
		if err != nil {
			return err
		}
	}
}

// sendSome holds memory only while there is something to send.
func (a *Attachment) sendSome(end *guest, host net.Conn) (int, error) {
	room := a.network.buffers.Get()
	defer a.network.buffers.Put(room)
	n, err := end.read(room[:])
	if err != nil || n == 0 {
		return 0, err
	}
	if _, err := host.Write(room[:n]); err != nil {
		return 0, fmt.Errorf("send: %w", err)
	}
	return n, nil
}

// fetch copies what the peer sends.
func (a *Attachment) fetch(ctx context.Context, end *guest, host net.Conn) error {
	raw, err := rawConn(host)
	if err != nil {
		return err
	}
	for {
		room, n, err := a.network.receive(raw)
		if err != nil {
			return err
		}
		if n == 0 {
			a.network.buffers.Put(room)
			return asError(end.endpoint.Shutdown(tcpip.ShutdownWrite))
		}
		a.ledger.received.Add(int64(n))
		err = end.write(ctx, room[:n])
		a.network.buffers.Put(room)
		if err != nil {
			return err
		}
	}
}

// rawConn returns what a connection is made of.
func rawConn(host net.Conn) (syscall.RawConn, error) {
	c, ok := host.(syscall.Conn)
	if !ok {
		return nil, errors.ErrUnsupported
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return nil, fmt.Errorf("receive: %w", err)
	}
	return raw, nil
}

// receive waits for bytes and returns them in a buffer, which it borrows no sooner
// than they are there; 0 bytes are the end.
func (n *Network) receive(raw syscall.RawConn) (room *link.Buffer, size int, err error) {
	var failed error
	err = raw.Read(func(fd uintptr) bool {
		room = n.buffers.Get()
		for {
			size, failed = readFile(fd, room[:])
			switch {
			case failed == nil:
				return true
			case errors.Is(failed, syscall.EINTR):
			default:
				n.buffers.Put(room)
				return !errors.Is(failed, syscall.EAGAIN)
			}
		}
	})
	if err := errors.Join(err, failed); err != nil {
		return nil, 0, fmt.Errorf("receive: %w", err)
	}
	return room, size, nil
}

func closeWrite(host net.Conn) error {
	c, ok := host.(interface{ CloseWrite() error })
	if !ok {
		return errors.ErrUnsupported
	}
	if err := c.CloseWrite(); err != nil {
		return fmt.Errorf("end the stream: %w", err)
	}
	return nil
}

var errLinger = errors.New("the sandbox does not take what is left")

// linger waits until the sandbox has taken the last bytes.
func linger(ctx context.Context, end *guest, most time.Duration) error {
	timeout := time.NewTimer(most)
	defer timeout.Stop()
	for end.endpoint.Readiness(waiter.EventHUp) == 0 {
		select {
		case <-end.gone:
		case <-timeout.C:
			return errLinger
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}
