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

// Dial connects to a host and port on behalf of a deployment, by the policy of its
// functions. External rewrites use it as their dialer. The error for a refused
// address is a [*RefusedError].
//
// The policy checks each address when it is dialled, after the name was resolved.
// The platform's own services see the connection come from [address.Functions], like
// connections of functions: they ignore its forwarded headers, and the API does not
// answer it.
func (n *Network) Dial(ctx context.Context, network, to string) (net.Conn, error) {
	return n.dialAs(ctx, network, to, false)
}

// DialAnywhere is [Network.Dial] for an operator that lets rewrites reach every
// address and every port of this host. It recognizes the platform's own services
// too.
func (n *Network) DialAnywhere(ctx context.Context, network, to string) (net.Conn, error) {
	return n.dialAs(ctx, network, to, true)
}

func (n *Network) dialAs(ctx context.Context, network, to string, anywhere bool) (net.Conn, error) {
	host, _, _ := net.SplitHostPort(to)
	dialer := &net.Dialer{Timeout: originTimeout, KeepAlive: 30 * time.Second}
	dialer.Control = func(_, dialled string, _ syscall.RawConn) error {
		ip, err := netip.ParseAddrPort(dialled)
		if err != nil {
			return &RefusedError{Refusal{Host: host, Why: "the address is malformed"}}
		}
		at, why := n.policy.check(ip)
		switch {
		case why == "" && (at.platform || at.to.Addr() != address.Canonical(ip.Addr())):
			return &detourError{at}
		case why == "" || anywhere && !n.policy.isPlatform(ip):
			return nil
		default:
			return &RefusedError{Refusal{Host: host, To: ip, Why: why}}
		}
	}
	conn, err := dialer.DialContext(ctx, network, to)
	if other, ok := errors.AsType[*detourError](err); ok {
		if other.at.platform {
			other.at.from = n.nextSource()
		}
		return n.dial(ctx, "tcp", other.at)
	}
	return conn, err
}

// originTimeout is the time limit for connecting to one address.
const originTimeout = 10 * time.Second

// detourError ends a dial that must be repeated in another way: from a source
// address that identifies functions to a service of this host, or to the address of
// that service.
type detourError struct{ at target }

// Error implements error.
func (*detourError) Error() string { return "the address is a service of this host" }

// RefusedError is a [Refusal] as an error.
type RefusedError struct{ Refusal }

// Error implements error.
func (e *RefusedError) Error() string { return e.String() }
