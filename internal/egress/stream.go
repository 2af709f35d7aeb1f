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
)

// acceptStream handles a TCP connection on a goroutine of its own. It dials first,
// so that the sandbox learns the result from the handshake.
func (g *guestStack) acceptStream(r *tcp.ForwarderRequest) {
	a := g.attachment
	if !a.enter() {
		r.Complete(true)
		return
	}
	defer a.work.Done()
	to := destination(r.ID())
	if !a.permitted() {
		r.Complete(true)
		return
	}
	size, release, ok := a.admitStream()
	if !ok {
		r.Complete(true)
		a.reportLimit(to)
		return
	}
	defer release()
	if isResolver(to) {
		if end := g.establish(r, size); end != nil {
			a.answerStream(end)
		}
		return
	}
	dial, err := a.checkTarget(to)
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
	if end := g.establish(r, size); end != nil {
		relay(a, end, host)
	}
}

// admitStream reserves the resources of a connection and returns the size of its
// buffers.
func (a *Attachment) admitStream() (size int64, release func(), ok bool) {
	if !a.streams.take(1) {
		return 0, nil, false
	}
	size = bufferSize(min(a.extra.free(), a.bytes.free()/2))
	extra := memoryFactor * (size - minBytes)
	if !a.extra.take(extra) {
		size, extra = minBytes, 0
	}
	held := streamBytes + memoryFactor*size
	if !a.hold(held) {
		a.extra.give(extra)
		a.streams.give(1)
		return 0, nil, false
	}
	return size, func() {
		a.bytes.give(held)
		a.extra.give(extra)
		a.streams.give(1)
	}, true
}

// bufferSize is the size of a connection's buffers if left bytes are available.
func bufferSize(left int64) int64 {
	return min(max(left/extraShare/memoryFactor, minBytes), maxBytes)
}

// establish completes the handshake, or returns nil.
func (g *guestStack) establish(r *tcp.ForwarderRequest, size int64) *guest {
	var queue waiter.Queue
	endpoint, err := r.CreateEndpoint(&queue)
	r.Complete(err != nil)
	if err != nil {
		return nil
	}
	end := newGuest(endpoint, &queue)
	end.resize(size)
	return end
}

// relay copies in both directions until both ends have finished. It forwards the end
// of a stream as such, and a reset as a reset.
func relay(a *Attachment, end *guest, host net.Conn) {
	ctx, cancel := context.WithCancelCause(a.ctx)
	defer cancel(nil)
	defer context.AfterFunc(ctx, func() { reset(host) })()
	raw, err := rawConn(host)
	if err != nil {
		end.close(true)
		return
	}
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		if err := a.send(ctx, end, raw, host); err != nil {
			cancel(err)
		}
	}()
	if err = a.receiveStream(ctx, end, raw); err != nil {
		cancel(err)
	}
	<-sent
	if ctx.Err() == nil {
		err = linger(ctx, end, a.network.o.LingerTime)
	}
	end.close(err != nil || ctx.Err() != nil)
}

// reset closes a connection with a reset.
func reset(host net.Conn) {
	if c, ok := host.(*net.TCPConn); ok {
		_ = c.SetLinger(0) // closed even on an error
	}
	_ = host.Close()
}

// send copies the sandbox's bytes to the peer.
func (a *Attachment) send(ctx context.Context, end *guest, raw syscall.RawConn, host net.Conn) error {
	for {
		if err := end.ready(ctx); err != nil {
			return err
		}
		n, err := a.sendSome(end, raw)
		a.ledger.sent.Add(int64(n))
		if errors.Is(err, io.EOF) {
			return closeWrite(host)
		}
		if err != nil {
			return err
		}
	}
}

// sendSome sends some of the available bytes, once the peer takes them. Until then
// the bytes stay in the stack.
func (a *Attachment) sendSome(end *guest, raw syscall.RawConn) (n int, err error) {
	p := a.project.Load()
	var failed error
	err = raw.Write(func(fd uintptr) bool {
		buf := a.network.buffers.get(p)
		defer func() { a.network.buffers.put(p, buf, n) }()
		available, err := end.peek(buf[:])
		if err != nil || available == 0 {
			failed = err
			return true
		}
		n, failed = writeFile(fd, buf[:available])
		if isAgain(failed) {
			n, failed = 0, nil
			return false
		}
		n = max(n, 0)
		end.discard(n)
		return true
	})
	if errors.Is(failed, io.EOF) && err == nil {
		return n, io.EOF
	}
	if err := errors.Join(err, failed); err != nil {
		return n, fmt.Errorf("send: %w", err)
	}
	return n, nil
}

// receiveStream copies the peer's bytes to the sandbox.
func (a *Attachment) receiveStream(ctx context.Context, end *guest, raw syscall.RawConn) error {
	for {
		if err := end.waitWritable(ctx); err != nil {
			return err
		}
		n, err := a.receiveSome(end, raw)
		a.ledger.received.Add(int64(n))
		if errors.Is(err, io.EOF) {
			return asError(end.endpoint.Shutdown(tcpip.ShutdownWrite))
		}
		if err != nil {
			return err
		}
	}
}

// receiveSome moves some of the peer's bytes into the sandbox's stack, once they have
// arrived.
func (a *Attachment) receiveSome(end *guest, raw syscall.RawConn) (n int, err error) {
	var failed error
	err = raw.Read(func(fd uintptr) bool {
		available, err := unread(fd)
		if err != nil || available == 0 {
			failed = err
			return err != nil
		}
		p := a.project.Load()
		buf := a.network.buffers.get(p)
		defer func() { a.network.buffers.put(p, buf, n) }()
		n, failed = end.offer(&payload{fd: fd, left: min(available, len(buf))})
		return true
	})
	if errors.Is(failed, io.EOF) && err == nil {
		return n, io.EOF
	}
	if err := errors.Join(err, failed); err != nil {
		return n, fmt.Errorf("receive: %w", err)
	}
	return n, nil
}

// rawConn returns the socket of a connection.
func rawConn(host net.Conn) (syscall.RawConn, error) {
	c, ok := host.(syscall.Conn)
	if !ok {
		return nil, errors.ErrUnsupported
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return nil, fmt.Errorf("use the socket: %w", err)
	}
	return raw, nil
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

var errLinger = errors.New("the sandbox has not read the last bytes in time")

// linger waits until the sandbox has received the last bytes.
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
