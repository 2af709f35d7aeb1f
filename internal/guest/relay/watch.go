package relay

import (
	"context"
	"net"
	"sync"
	"time"
)

// Bounds of the growing wait between two attempts to connect, where the kernel does not
// report listen(2).
const (
	firstLook = time.Millisecond
	lastLook  = 50 * time.Millisecond
)

// watch records the ports at which the program listens. On Linux the kernel suspends
// every listen(2) of the program until the watch has executed it, so the watch learns
// of a port at once. On other systems it tries to connect.
type watch struct {
	source source

	mu      sync.Mutex        // guards the fields below
	polling bool              // the kernel does not report listen(2)
	at      map[uint16]net.IP // addresses of listeners by port
	changed chan struct{}     // closed at the next change, and replaced
}

// record records a listener.
func (w *watch) record(ip net.IP, port uint16) {
	switch {
	case ip.IsUnspecified() && ip.To4() != nil:
		ip = net.IPv4(127, 0, 0, 1)
	case ip.IsUnspecified():
		ip = net.IPv6loopback
	}
	w.update(func() { w.at[port] = ip })
}

func (w *watch) update(change func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	change()
	close(w.changed)
	w.changed = make(chan struct{})
}

// await returns the address of the listener at a port, once there is one.
func (w *watch) await(ctx context.Context, port uint16) (*net.TCPAddr, error) {
	for {
		w.mu.Lock()
		ip, ok := w.at[port]
		polling, changed := w.polling, w.changed
		w.mu.Unlock()
		if polling {
			return try(ctx, port)
		}
		if address := (&net.TCPAddr{IP: ip, Port: int(port)}); ok && accepts(address) {
			return address, nil
		} // a port may be closed again: programs look for free ports that way
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// accepts reports whether a connection to an address of this host succeeds.
func accepts(address *net.TCPAddr) bool {
	conn, err := net.DialTCP("tcp", nil, address)
	return err == nil && conn.Close() == nil
}

// try connects until that succeeds.
func try(ctx context.Context, port uint16) (*net.TCPAddr, error) {
	address := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: int(port)}
	for pause := firstLook; ; pause = min(2*pause, lastLook) {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", address.String())
		if err == nil {
			return address, conn.Close()
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil, context.Cause(ctx)
		}
	}
}
