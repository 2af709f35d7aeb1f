package egress

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/lateen-dev/lateen/internal/address"
	"github.com/lateen-dev/lateen/internal/link"
)

// ownFor is how long the host's addresses are believed to stay the same.
const ownFor = 5 * time.Second

// policy decides who may be reached. It judges addresses, at the moment they
// are dialled: a name may mean something else by then.
type policy struct {
	allow []netip.Prefix

	mu   sync.Mutex // guards below
	host []netip.AddrPort
	own  map[netip.Addr]bool
	at   time.Time // when own was read
}

// Refusal is a connection that was not made.
type Refusal struct {
	Host string         // as the sandbox asked for it: a name, or an address
	To   netip.AddrPort // what it tried to reach
	Why  string         // and who can change that
}

// String is the refusal as a sentence for whoever reads the function's log.
func (r Refusal) String() string {
	where := r.To.String()
	if r.Host != r.To.Addr().String() {
		where = r.Host + " (" + where + ")"
	}
	return "a connection to " + where + " was refused: " + r.Why
}

// judge returns the address to dial for one that a sandbox wants to reach, or
// why there is none.
func (p *policy) judge(to netip.AddrPort) (dial netip.AddrPort, why string) {
	ip, port := address.Canonical(to.Addr()), to.Port()
	to = netip.AddrPortFrom(ip, port)
	if ip == link.Gateway || ip == link.Gateway6 {
		if service, ok := p.service(port); ok {
			return service, ""
		}
		return netip.AddrPort{}, hostRefused(port)
	}
	if p.isOwn(ip) {
		if _, ok := p.service(port); ok {
			return to, ""
		}
		return netip.AddrPort{}, hostRefused(port)
	}
	if !address.Permitted(ip, p.allow) {
		return netip.AddrPort{}, fmt.Sprintf("it is not on the public Internet; whoever runs this platform may allow it with --function-networks %s", netip.PrefixFrom(ip, ip.BitLen()))
	}
	return to, ""
}

func hostRefused(port uint16) string {
	return fmt.Sprintf("it is the platform's own host; whoever runs this platform may open the port, as %s, with --function-host-ports %d", link.Host, port)
}

func (p *policy) expose(services []netip.AddrPort) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.host = append(p.host, services...)
}

// service returns where the service at a port of this host is.
func (p *policy) service(port uint16) (netip.AddrPort, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	i := slices.IndexFunc(p.host, func(s netip.AddrPort) bool { return s.Port() == port })
	if i < 0 {
		return netip.AddrPort{}, false
	}
	at := address.Canonical(p.host[i].Addr())
	switch {
	case !at.IsValid(), at == netip.IPv4Unspecified(), at == netip.IPv6Unspecified(): // the latter listens to IPv4 as well
		at = netip.AddrFrom4([4]byte{127, 0, 0, 1})
	default:
	}
	return netip.AddrPortFrom(at, port), true
}

// isOwn reports whether ip leads to this host.
func (p *policy) isOwn(ip netip.Addr) bool {
	if ip.IsLoopback() || ip.IsUnspecified() {
		return true
	}
	if inner, ok := address.Inner(ip); ok && p.isOwn(inner) {
		return true
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if now := time.Now(); p.own == nil || now.Sub(p.at) > ownFor {
		p.readOwn()
		p.at = now
	}
	return p.own[ip]
}

// readOwn reads the host's addresses, and keeps those it knew if that fails.
func (p *policy) readOwn() {
	list, err := net.InterfaceAddrs()
	if err != nil && p.own != nil {
		return
	}
	p.own = make(map[netip.Addr]bool, len(list))
	for _, one := range list {
		if prefix, err := netip.ParsePrefix(one.String()); err == nil {
			p.own[address.Canonical(prefix.Addr())] = true
		}
	}
}
