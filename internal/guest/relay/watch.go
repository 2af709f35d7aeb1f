package relay

import (
	"context"
	"net"
	"sync"
	"time"
)

// Where the kernel does not tell, the wait between two looks grows from the
// first to the last.
const (
	firstLook = time.Millisecond
	lastLook  = 50 * time.Millisecond
)

// watch knows where the program listens. On Linux the kernel holds every
// listen(2) of the program until the watch has carried it out, so that it
// knows the moment, with no look too early or too late; elsewhere it tries.
type watch struct {
	source source

	mu      sync.Mutex        // guards below
	blind   bool              // the kernel does not tell
	at      map[uint16]net.IP // where something listens, by port
	changed chan struct{}     // closed at the next change, and replaced
}

// record takes note of something that listens.
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

// await returns the address of what listens at a port, once something does.
func (w *watch) await(ctx context.Context, port uint16) (*net.TCPAddr, error) {
	for {
		w.mu.Lock()
		ip, ok := w.at[port]
		blind, changed := w.blind, w.changed
		w.mu.Unlock()
		if blind {
			return try(ctx, port)
		}
		if address := (&net.TCPAddr{IP: ip, Port: int(port)}); ok && takes(address) {
			return address, nil
		} // or what listened there has gone: programs look for free ports that way
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// takes reports whether something takes connections at an address of this host.
func takes(address *net.TCPAddr) bool {
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
