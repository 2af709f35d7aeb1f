package instance

import (
	"context"
	"fmt"
	"net"
	"sync"

	"github.com/lateen-dev/lateen/internal/datacache"
	"github.com/lateen-dev/lateen/internal/guest"
)

// channel is the connection of an instance to the data cache.
type channel struct {
	mu     sync.Mutex // guards the fields below
	peer   *datacache.Peer
	open   bool
	wanted bool // the guest has asked for another one
}

// dataOwner is the deployment whose data an instance reads, writes and invalidates.
func (o *Options) dataOwner() datacache.Owner {
	return datacache.Owner{Project: o.Spec.Project, Deployment: o.Spec.Deployment}
}

// connect connects i to the data cache of its deployment until the
// connection or the process ends. A guest has one connection at a time.
func (c *channel) connect(i *Instance) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wanted = true
	if c.open {
		return
	}
	if c.peer == nil {
		c.peer = datacache.NewPeer(i.o.dataOwner())
	}
	dial, peer := i.Upstream.Dial, c.peer
	c.open = i.group.Host.Go(func() {
		for c.take() {
			serveData(i, dial, peer)
		}
	})
}

// take reports whether a connection is wanted; if not, the channel is closed.
func (c *channel) take() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.open, c.wanted = c.wanted, false
	return c.open
}

// serveData opens one connection and serves it. Without a data cache it closes the
// connection at once, so that the guest does not wait.
func serveData(i *Instance, dial func(context.Context) (net.Conn, error), peer *datacache.Peer) {
	ctx, cancel := context.WithCancel(context.Background()) //nolint:forbidigo // the end of the process ends it
	defer cancel()
	server := i.group.Data
	if i.o.Training {
		server = datacache.NewServer(datacache.Discard{})
	}
	conn, err := dial(ctx)
	if err != nil {
		return // the process has ended
	}
	defer conn.Close() //nolint:errcheck // the channel is over
	if _, err := fmt.Fprintf(conn, "CONNECT agent HTTP/1.1\r\nhost: agent\r\n%s: %s\r\n\r\n", guest.HeaderOperation, guest.OperationData); err != nil || server == nil {
		return
	}
	stop := make(chan struct{})
	defer close(stop)
	go func() {
		select {
		case <-i.Exited:
			cancel()
		case <-stop:
		}
	}()
	if err := server.Serve(ctx, conn, peer); err != nil {
		i.mu.Lock()
		defer i.mu.Unlock()
		i.killLocked(fmt.Errorf("the process broke the protocol: %w", err))
	}
}
