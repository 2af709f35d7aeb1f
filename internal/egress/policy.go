package egress

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/lateen-dev/lateen/internal/address"
	"github.com/lateen-dev/lateen/internal/netdev"
)

// localTTL is how long the host's list of addresses is cached.
const localTTL = 5 * time.Second

// policy decides which addresses may be reached. It checks addresses when they are
// dialled, because a name may resolve to another address by then.
type policy struct {
	allow []netip.Prefix

	mu    sync.Mutex // guards the fields below
	host  []service
	local map[netip.Addr]bool
	at    time.Time // time at which own was read
}

// service is a service of this host.
type service struct {
	at       netip.AddrPort
	platform bool // a service of the platform itself
}

// target is an address to dial for a sandbox.
type target struct {
	to       netip.AddrPort
	platform bool       // a service of the platform, which must recognize functions by the source address
	from     netip.Addr // source address; zero is any
}

// Refusal is a refused connection.
type Refusal struct {
	Host string         // name or address that the sandbox used
	To   netip.AddrPort // address that the sandbox tried to reach
	Why  string         // reason, and the setting that permits the connection
}

// String is the refusal as a sentence for readers of the function's log.
func (r Refusal) String() string {
	peer := r.To.String()
	if r.Host != r.To.Addr().String() {
		peer = r.Host + " (" + peer + ")"
	}
	return "a connection to " + peer + " was refused: " + r.Why
}

// check returns the target to dial for an address that a sandbox wants to reach, or
// the reason of a refusal.
func (p *policy) check(to netip.AddrPort) (dial target, why string) {
	ip, port := address.Canonical(to.Addr()), to.Port()
	to = netip.AddrPortFrom(ip, port)
	local := p.isLocal(ip)
	if local || ip == netdev.Gateway || ip == netdev.Gateway6 {
		dial, ok := p.service(ip, port)
		if !ok {
			return target{}, fmt.Sprintf("it is an address of the platform's host; the operator may open the port, as %s, with --function-host-ports %d", netdev.Host, port)
		}
		return dial, ""
	}
	if !address.Permitted(ip, p.allow) {
		return target{}, fmt.Sprintf("it is not on the public Internet; the operator may allow it with --function-networks %s", netip.PrefixFrom(ip, ip.BitLen()))
	}
	return target{to: to}, ""
}

// add adds services. If several have a port, the last one counts.
func (p *policy) add(services []netip.AddrPort, platform bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, at := range services {
		p.host = append(p.host, service{at, platform})
	}
}

// service returns the target of the service at a port of this host, for a sandbox
// that dials ip. A service of the platform is reached at its own scheme's port by
// both ports, 80 and 443.
func (p *policy) service(ip netip.Addr, port uint16) (target, bool) {
	to, ok := p.serviceAt(ip, port)
	if other := otherScheme[port]; !ok && other != 0 {
		to, ok = p.serviceAt(ip, other)
		ok = ok && to.platform
	}
	return to, ok
}

// otherScheme maps the ports of http and https to each other.
var otherScheme = map[uint16]uint16{80: 443, 443: 80}

// serviceAt returns the target of the service at a port of this host, for a sandbox
// that dials ip: the gateway, which represents any address, or an address of the
// host. A service that listens on one address is not reached by others: another
// program may listen there, at the same port.
func (p *policy) serviceAt(ip netip.Addr, port uint16) (target, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	gateway := ip == netdev.Gateway || ip == netdev.Gateway6
	for _, s := range slices.Backward(p.host) {
		at := address.Canonical(s.at.Addr())
		everywhere := !at.IsValid() || at.IsUnspecified()
		if s.at.Port() != port || !gateway && !everywhere && at != ip {
			continue
		}
		switch {
		case everywhere && !gateway && ip.Is4():
			at = ip
		case everywhere: // an unspecified address includes IPv4
			at = netip.AddrFrom4([4]byte{127, 0, 0, 1})
		}
		if s.platform && at.Is6() {
			return target{}, false // no IPv6 loopback range exists for source addresses
		}
		return target{to: netip.AddrPortFrom(at, port), platform: s.platform}, true
	}
	return target{}, false
}

// isPlatform reports whether to is a service of the platform itself.
func (p *policy) isPlatform(to netip.AddrPort) bool {
	if !p.isLocal(address.Canonical(to.Addr())) {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.ContainsFunc(p.host, func(s service) bool { return s.platform && s.at.Port() == to.Port() })
}

// isLocal reports whether ip is an address of this host.
func (p *policy) isLocal(ip netip.Addr) bool {
	if ip.IsLoopback() || ip.IsUnspecified() {
		return true
	}
	if inner, ok := address.Inner(ip); ok && p.isLocal(inner) {
		return true
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if now := time.Now(); p.local == nil || now.Sub(p.at) > localTTL {
		p.readLocal()
		p.at = now
	}
	return p.local[ip]
}

// readLocal reads the host's addresses. If that fails, it keeps the earlier list.
func (p *policy) readLocal() {
	list, err := net.InterfaceAddrs()
	if err != nil && p.local != nil {
		return
	}
	p.local = make(map[netip.Addr]bool, len(list))
	for _, one := range list {
		if prefix, err := netip.ParsePrefix(one.String()); err == nil {
			p.local[address.Canonical(prefix.Addr())] = true
		}
	}
}
