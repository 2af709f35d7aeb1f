package daemon

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"

	"github.com/lateen-dev/lateen/internal/config"
	"github.com/lateen-dev/lateen/internal/edge/problem"
	"github.com/lateen-dev/lateen/internal/egress"
)

// newNetwork returns the egress network of functions.
func newNetwork(c *config.Config, log *slog.Logger) *egress.Network {
	host := make([]netip.AddrPort, len(c.FunctionHostPorts))
	for i, port := range c.FunctionHostPorts {
		host[i] = netip.AddrPortFrom(netip.IPv4Unspecified(), port)
	}
	return egress.New(egress.Options{Allow: c.FunctionNetworks, Host: host, AllBytes: egressBytes(machineMemory()), Log: log})
}

// egressBytes returns the memory that connections of functions may take in this
// process: an eighth of the machine's memory, within bounds. machine is 0 if it is
// unknown.
func egressBytes(machine int64) int64 {
	const least, most = 128 << 20, 512 << 20
	if machine == 0 {
		return least
	}
	return min(max(machine/8, least), most)
}

// dialOrigin returns the dialer of external rewrites. It applies the egress policy
// of functions; anywhere permits private addresses and this host as well.
func dialOrigin(n *egress.Network, anywhere bool) func(context.Context, string, string) (net.Conn, error) {
	dial := n.Dial
	if anywhere {
		dial = n.DialAnywhere
	}
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		if refused, ok := errors.AsType[*egress.RefusedError](err); ok {
			return nil, problem.ErrOriginRefused.With("%s", refused.Error()).Because(err)
		}
		return conn, err
	}
}

// publicServices returns the public services of this host, which functions may reach
// because they may request URLs of the platform: the listener, and the port of its
// URLs, on which a proxy of this host may listen.
func publicServices(c *config.Config, listener net.Addr) []netip.AddrPort {
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
		return list // there is no proxy in front of the listener
	}
	return append(list, netip.AddrPortFrom(netip.IPv4Unspecified(), port))
}
