package share

import (
	"net"
	"net/netip"
	"sync"
)

// Callers counts the open connections of each client, so that one client cannot take
// them all. An IPv6 network of 64 bits counts as one client. All methods may be
// called concurrently.
type Callers struct {
	most int
	free func(ip netip.Addr) bool

	mu   sync.Mutex // guards the fields below
	open map[netip.Addr]int
}

// NewCallers allows each client most connections, or any number if free reports true
// for its address.
func NewCallers(most int, free func(ip netip.Addr) bool) *Callers {
	return &Callers{most: most, free: free, open: map[netip.Addr]int{}}
}

// Enter counts a connection from addr and returns a function that counts its end, or
// nil if the client has too many. A connection with an address that is not a TCP
// address is not counted.
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
		network, _ := ip.WithZone("").Prefix(64) // cannot fail: an address has 128 bits
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
