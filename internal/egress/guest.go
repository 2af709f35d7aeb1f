package egress

import (
	"bytes"
	"context"
	"io"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/waiter"
)

// guest is the sandbox's end of a connection or flow. One goroutine reads and
// one writes.
type guest struct {
	endpoint tcpip.Endpoint
	queue    *waiter.Queue
	events   [3]waiter.Entry
	readable chan struct{}
	writable chan struct{}
	gone     chan struct{} // has a value once the sandbox's side is done for
	size     int           // of each buffer
	small    int           // writes since the sandbox had everything
}

const (
	smallWrite     = 4 << 10 // a write of less counts as small
	packetOverhead = 1 << 10 // of a write
	drainBytes     = 2       // the smallest buffer that is less than half full once it is empty, of which the stack tells
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

// ready waits until there is something to read, or the end.
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

// waitWritable waits until there is room to write, or the end. The stack keeps
// each small write as a packet of its own, whose overhead it does not count:
// after so many of them as take half a buffer, there is room once the sandbox
// has everything that was written.
func (g *guest) waitWritable(ctx context.Context) error {
	if g.small >= g.size/2/packetOverhead {
		// The stack says no more than whether its buffer is full.
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

// read reads what is there. With nothing there n is 0; at the end of the
// stream the error is [io.EOF].
func (g *guest) read(b []byte) (n int, err error) {
	into := tcpip.SliceWriter(b)
	return g.readInto(&into, false)
}

// peek is read, only that the bytes stay there.
func (g *guest) peek(b []byte) (n int, err error) {
	into := tcpip.SliceWriter(b)
	return g.readInto(&into, true)
}

// discard takes n bytes that were peeked at.
func (g *guest) discard(n int) {
	left := discarder(n)
	_, _ = g.readInto(&left, false) // what ended meanwhile has nothing left
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

// discarder takes so many bytes and keeps none.
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

// offer writes as much as there is room for.
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

// close ends the endpoint; with abort, not gracefully.
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

// resize sizes the buffers, which have the least size before.
func (g *guest) resize(size int64) {
	g.size = int(size)
	g.endpoint.SocketOptions().SetSendBufferSize(size, true)
	g.endpoint.SocketOptions().SetReceiveBufferSize(size, true)
}
