package egress

import (
	"bytes"
	"context"
	"io"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/waiter"
)

// guest is the sandbox's end of a connection. One goroutine reads and one writes.
type guest struct {
	endpoint tcpip.Endpoint
	queue    *waiter.Queue
	events   [3]waiter.Entry
	readable chan struct{}
	writable chan struct{}
	gone     chan struct{} // has a value once the sandbox's side has closed or failed
	size     int           // size of each buffer
	small    int           // small writes since the sandbox had received all bytes
}

const (
	smallWrite     = 4 << 10 // bytes below which a write counts as small
	packetOverhead = 1 << 10 // bytes of overhead of a write
	drainBytes     = 2       // smallest buffer whose draining the stack reports: it is less than half full once it is empty
)

func newGuest(endpoint tcpip.Endpoint, queue *waiter.Queue) *guest {
	g := &guest{endpoint: endpoint, queue: queue}
	g.events[0], g.readable = waiter.NewChannelEntry(waiter.ReadableEvents | waiter.EventHUp | waiter.EventErr)
	g.events[1], g.writable = waiter.NewChannelEntry(waiter.WritableEvents | waiter.EventHUp | waiter.EventErr)
	g.events[2], g.gone = waiter.NewChannelEntry(waiter.EventHUp | waiter.EventErr)
	for i := range g.events {
		queue.EventRegister(&g.events[i])
	}
	return g
}

// ready waits until the stream is readable or ends.
func (g *guest) ready(ctx context.Context) error {
	for g.endpoint.Readiness(waiter.ReadableEvents|waiter.EventHUp|waiter.EventErr) == 0 {
		select {
		case <-g.readable:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// waitWritable waits until the stream is writable or ends. The stack stores each
// small write as a packet of its own, whose overhead it does not count: after small
// writes whose overhead fills half a buffer, waitWritable waits until the sandbox
// has received all written bytes.
func (g *guest) waitWritable(ctx context.Context) error {
	if g.small >= g.size/2/packetOverhead {
		// The stack reports only whether its buffer is full.
		g.endpoint.SocketOptions().SetSendBufferSize(drainBytes, false)
		defer g.endpoint.SocketOptions().SetSendBufferSize(int64(g.size), false)
		g.small = 0
	}
	for g.endpoint.Readiness(waiter.WritableEvents|waiter.EventHUp|waiter.EventErr) == 0 {
		select {
		case <-g.writable:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// read reads the available bytes. n is 0 if there are none; at the end of the stream
// the error is [io.EOF].
func (g *guest) read(b []byte) (n int, err error) {
	into := tcpip.SliceWriter(b)
	return g.readInto(&into, false)
}

// peek is like read, but leaves the bytes in the stream.
func (g *guest) peek(b []byte) (n int, err error) {
	into := tcpip.SliceWriter(b)
	return g.readInto(&into, true)
}

// discard skips n bytes that were peeked at.
func (g *guest) discard(n int) {
	left := discarder(n)
	_, _ = g.readInto(&left, false) // a stream that has ended meanwhile has no bytes left
}

func (g *guest) readInto(w io.Writer, peek bool) (n int, err error) {
	result, failed := g.endpoint.Read(w, tcpip.ReadOptions{Peek: peek})
	switch failed.(type) {
	case nil:
		return result.Count, nil
	case *tcpip.ErrWouldBlock, *tcpip.ErrBadBuffer: // the latter: the writer took nothing
		return 0, nil
	case *tcpip.ErrClosedForReceive:
		return 0, io.EOF
	default:
		return 0, asError(failed)
	}
}

// discarder accepts a number of bytes and drops them.
type discarder int

// Write implements [io.Writer].
func (d *discarder) Write(b []byte) (int, error) {
	n := min(len(b), int(*d))
	*d -= discarder(n)
	if n < len(b) {
		return n, io.ErrShortWrite
	}
	return n, nil
}

// write writes all of b.
func (g *guest) write(ctx context.Context, b []byte) error {
	for rest := bytes.NewReader(b); rest.Len() > 0; {
		if err := g.waitWritable(ctx); err != nil {
			return err
		}
		if _, err := g.offer(rest); err != nil {
			return err
		}
	}
	return nil
}

// offer writes as many bytes as the buffer takes.
func (g *guest) offer(p tcpip.Payloader) (n int, err error) {
	wrote, failed := g.endpoint.Write(p, tcpip.WriteOptions{})
	switch failed.(type) {
	case nil:
		if wrote < smallWrite {
			g.small++
		}
		return int(wrote), nil
	case *tcpip.ErrWouldBlock:
		return 0, nil
	default:
		return 0, asError(failed)
	}
}

// close closes the endpoint, or aborts it.
func (g *guest) close(abort bool) {
	for i := range g.events {
		g.queue.EventUnregister(&g.events[i])
	}
	if abort {
		g.endpoint.Abort()
	} else {
		g.endpoint.Close()
	}
}

// resize sets the size of the buffers, which start with the minimum size.
func (g *guest) resize(size int64) {
	g.size = int(size)
	g.endpoint.SocketOptions().SetSendBufferSize(size, true)
	g.endpoint.SocketOptions().SetReceiveBufferSize(size, true)
}
