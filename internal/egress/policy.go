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
	host []service
	own  map[netip.Addr]bool
	at   time.Time // when own was read
}

// service is one of this host.
type service struct {
	at   netip.AddrPort
	door bool // it is the platform's own
}

// target is where to dial for a sandbox.
type target struct {
	to   netip.AddrPort
	door bool       // the platform's own, which is to know whom it deals with
	from netip.Addr // the zero one: any
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

// judge returns what to dial for an address that a sandbox wants to reach, or
// why there is nothing.
func (p *policy) judge(to netip.AddrPort) (dial target, why string) {
	ip, port := address.Canonical(to.Addr()), to.Port()
	to = netip.AddrPortFrom(ip, port)
	own := p.isOwn(ip)
	if own || ip == link.Gateway || ip == link.Gateway6 {
		dial, ok := p.service(ip, port)
		if !ok {
			return target{}, fmt.Sprintf("it is the platform's own host; whoever runs this platform may open the port, as %s, with --function-host-ports %d", link.Host, port)
		}
		return dial, ""
	}
	if !address.Permitted(ip, p.allow) {
		return target{}, fmt.Sprintf("it is not on the public Internet; whoever runs this platform may allow it with --function-networks %s", netip.PrefixFrom(ip, ip.BitLen()))
	}
	return target{to: to}, ""
}

// add adds services. The last that has a port is the one.
func (p *policy) add(services []netip.AddrPort, door bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, at := range services {
		p.host = append(p.host, service{at, door})
	}
}

// service returns where the service at a port of this host is, for a sandbox that asks
// for ip. The platform's own answers at its scheme's port whichever the sandbox uses.
func (p *policy) service(ip netip.Addr, port uint16) (target, bool) {
	to, ok := p.serviceAt(ip, port)
	if other := otherScheme[port]; !ok && other != 0 {
		to, ok = p.serviceAt(ip, other)
		ok = ok && to.door
	}
	return to, ok
}

// otherScheme are the ports of http and https, each by the other.
var otherScheme = map[uint16]uint16{80: 443, 443: 80}

// serviceAt returns where the service at a port of this host is, for a sandbox that
// asks for ip: the gateway, which stands for any address, or one of the host's
// own. A service that listens on one address is not at the others: another
// program may be there, at the same port.
func (p *policy) serviceAt(ip netip.Addr, port uint16) (target, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	gateway := ip == link.Gateway || ip == link.Gateway6
	for _, s := range slices.Backward(p.host) {
		at := address.Canonical(s.at.Addr())
		everywhere := !at.IsValid() || at.IsUnspecified()
		if s.at.Port() != port || !gateway && !everywhere && at != ip {
			continue
		}
		switch {
		case everywhere && !gateway && ip.Is4():
			at = ip
		case everywhere: // it listens to IPv4, too
			at = netip.AddrFrom4([4]byte{127, 0, 0, 1})
		}
		if s.door && at.Is6() {
			return target{}, false // there is no loopback address to come from
		}
		return target{to: netip.AddrPortFrom(at, port), door: s.door}, true
	}
	return target{}, false
}

// isDoor reports whether a service of the platform itself is at to.
func (p *policy) isDoor(to netip.AddrPort) bool {
	if !p.isOwn(address.Canonical(to.Addr())) {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.ContainsFunc(p.host, func(s service) bool { return s.door && s.at.Port() == to.Port() })
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
