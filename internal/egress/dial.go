package egress

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"syscall"
	"time"

	"github.com/lateen-dev/lateen/internal/address"
)

// Dial connects to a host and port in the name of a site, by the policy that holds for
// its functions. It is the dialer of an external rewrite. An address that may not
// be reached is a [*RefusedError].
//
// Each address is judged when it is dialled, after its name was resolved. The
// platform's own services see the connection come from [address.Functions], as
// they see functions: they believe no forwarded header from there, and the API
// answers none of it.
func (n *Network) Dial(ctx context.Context, network, to string) (net.Conn, error) {
	return n.dialAs(ctx, network, to, false)
}

// DialAnywhere is [Network.Dial] for an operator who lets rewrites reach every
// address and every port of this host. It knows the platform's own services all
// the same.
func (n *Network) DialAnywhere(ctx context.Context, network, to string) (net.Conn, error) {
	return n.dialAs(ctx, network, to, true)
}

func (n *Network) dialAs(ctx context.Context, network, to string, anywhere bool) (net.Conn, error) {
	host, _, _ := net.SplitHostPort(to)
	dialer := &net.Dialer{Timeout: originTimeout, KeepAlive: 30 * time.Second}
	dialer.Control = func(_, dialled string, _ syscall.RawConn) error {
		ip, err := netip.ParseAddrPort(dialled)
		if err != nil {
			return &RefusedError{Refusal{Host: host, Why: "its address is malformed"}}
		}
		at, why := n.policy.judge(ip)
		switch {
		case why == "" && (at.door || at.to.Addr() != address.Canonical(ip.Addr())):
			return &detourError{at}
		case why == "" || anywhere && !n.policy.isDoor(ip):
			return nil
		default:
			return &RefusedError{Refusal{Host: host, To: ip, Why: why}}
		}
	}
	conn, err := dialer.DialContext(ctx, network, to)
	if other, ok := errors.AsType[*detourError](err); ok {
		if other.at.door {
			other.at.from = n.nextDoorstep()
		}
		return n.dial(ctx, "tcp", other.at)
	}
	return conn, err
}

// originTimeout bounds connecting to one address.
const originTimeout = 10 * time.Second

// detourError ends a dial that has to be made in another way: from an address that
// tells a service of this host whom it deals with, or to where the service is.
type detourError struct{ at target }

// Error implements error.
func (*detourError) Error() string { return "the address leads to a service of this host" }

// RefusedError is the [Refusal] of a connection as an error.
type RefusedError struct{ Refusal }

// Error implements error.
func (e *RefusedError) Error() string { return e.String() }
