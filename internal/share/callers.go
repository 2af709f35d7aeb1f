package share

import (
	"net"
	"net/netip"
	"sync"
)

// Callers counts the open connections of each client, so that one alone cannot
// take them all. One IPv6 network of 64 bits is one client. Its methods may be
// called concurrently.
type Callers struct {
	most int
	free func(ip netip.Addr) bool

	mu   sync.Mutex // guards below
	open map[netip.Addr]int
}

// NewCallers allows a client so many connections, and any number where free
// reports true of its address.
func NewCallers(most int, free func(ip netip.Addr) bool) *Callers {
	return &Callers{most: most, free: free, open: map[netip.Addr]int{}}
}

// Enter counts a connection from addr and returns what takes it back; nil where
// its client has too many. An address that is not of TCP is not counted.
func (c *Callers) Enter(addr net.Addr) (leave func()) {
	from, ok := addr.(*net.TCPAddr)
	if !ok {
		return func() {}
	}
	ip := from.AddrPort().Addr().Unmap()
	if c.free(ip) {
		return func() {}
	}
	if ip.Is6() {
		network, _ := ip.WithZone("").Prefix(64) // which is within an address of 128 bits
		ip = network.Addr()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open[ip] >= c.most {
		return nil
	}
	c.open[ip]++
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.open[ip]--; c.open[ip] == 0 {
			delete(c.open, ip)
		}
	}
}
