package daemon

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"

	"github.com/lateen-dev/lateen/internal/config"
	"github.com/lateen-dev/lateen/internal/edge"
	"github.com/lateen-dev/lateen/internal/egress"
)

// newNetwork is functions' way to the outside.
func newNetwork(c *config.Config, log *slog.Logger) *egress.Network {
	host := make([]netip.AddrPort, len(c.FunctionHostPorts))
	for i, port := range c.FunctionHostPorts {
		host[i] = netip.AddrPortFrom(netip.IPv4Unspecified(), port)
	}
	return egress.New(egress.Options{Allow: c.FunctionNetworks, Host: host, AllBytes: egressBytes(machineMemory()), Log: log})
}

// egressBytes is how much memory functions' connections may take in this
// process, on a machine with so much: an eighth, within bounds. 0 is unknown.
func egressBytes(machine int64) int64 {
	const least, most = 128 << 20, 512 << 20
	if machine == 0 {
		return least
	}
	return min(max(machine/8, least), most)
}

// dialOrigin connects external rewrites by the policy that holds for functions;
// anywhere lets them reach private addresses and this host as well.
func dialOrigin(n *egress.Network, anywhere bool) func(context.Context, string, string) (net.Conn, error) {
	dial := n.Dial
	if anywhere {
		dial = n.DialAnywhere
	}
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		if refused, ok := errors.AsType[*egress.RefusedError](err); ok {
			return nil, edge.ErrOriginRefused.With("%s", refused.Error()).Because(err)
		}
		return conn, err
	}
}

// doors are where this host is open to everybody, functions among them, which
// may call URLs of the platform: its listener, and the port of its URLs, where
// a proxy of this host may stand.
func doors(c *config.Config, listener net.Addr) []netip.AddrPort {
	var list []netip.AddrPort
	if at, err := netip.ParseAddrPort(listener.String()); err == nil {
		list = append(list, at)
	}
	if c.Domain == "localhost" {
		return list // its URLs have the listener's port
	}
	port := uint16(80)
	if c.Scheme == "https" || c.TLSCert != "" {
		port = 443
	}
	if len(list) > 0 && list[0].Port() == port {
		return list // no proxy stands in front of the listener
	}
	return append(list, netip.AddrPortFrom(netip.IPv4Unspecified(), port))
}
