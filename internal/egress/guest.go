package egress

import (
	"bytes"
	"context"
	"io"
	"sync/atomic"

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
}

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

// read reads what is there. With nothing there n is 0; at the end of the
// stream the error is [io.EOF].
func (g *guest) read(b []byte) (n int, err error) {
	into := tcpip.SliceWriter(b)
	result, failed := g.endpoint.Read(&into, tcpip.ReadOptions{})
	switch failed.(type) {
	case nil:
		return result.Count, nil
	case *tcpip.ErrWouldBlock, *tcpip.ErrBadBuffer: // the latter: a datagram without bytes
		return 0, nil
	case *tcpip.ErrClosedForReceive:
		return 0, io.EOF
	default:
		return 0, asError(failed)
	}
}

// write writes all of b, or a whole datagram.
func (g *guest) write(ctx context.Context, b []byte) error {
	rest := bytes.NewReader(b)
	for {
		_, failed := g.endpoint.Write(rest, tcpip.WriteOptions{})
		switch failed.(type) {
		case nil:
			if rest.Len() == 0 {
				return nil
			}
		case *tcpip.ErrWouldBlock:
			select {
			case <-g.writable:
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		default:
			return asError(failed)
		}
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

// share sizes the buffers of the nth connection that there is.
func (g *guest) share(n int64) {
	if size := allBytes / max(n, 1); size < maxBytes {
		g.endpoint.SocketOptions().SetSendBufferSize(max(size, minBytes), true)
		g.endpoint.SocketOptions().SetReceiveBufferSize(max(size, minBytes), true)
	}
}

// claim counts one more of most, or none.
func claim(count *atomic.Int64, most int) (n int64, ok bool) {
	n = count.Add(1)
	if n > int64(most) {
		count.Add(-1)
		return n, false
	}
	return n, true
}
