package egress_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"strconv"
	"testing"

	"github.com/lateen-dev/lateen/internal/address"
	"github.com/lateen-dev/lateen/internal/egress"
)

func TestOriginsAreReachedByThePolicyOfFunctions(t *testing.T) {
	peers := make(chan netip.Addr, 1)
	listener := func(at string) netip.AddrPort {
		l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", at)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		serve(t, l, func(c *net.TCPConn) {
			peers <- addrPort(c.RemoteAddr()).Addr().Unmap()
			_, _ = io.Copy(io.Discard, c)
		})
		return addrPort(l.Addr())
	}
	platform, open, closed := listener(":0").Port(), listener("127.0.0.1:0"), listener("127.0.0.1:0")
	network := egress.New(egress.Options{Host: []netip.AddrPort{open}})
	network.Expose(netip.AddrPortFrom(netip.IPv4Unspecified(), platform))
	at := func(host string, port uint16) string { return net.JoinHostPort(host, strconv.Itoa(int(port))) }
	type dial func(context.Context, string, string) (net.Conn, error)
	visit := func(dial dial, to string) (peer netip.Addr, err error) {
		c, err := dial(t.Context(), "tcp", to)
		if err != nil {
			return peer, err
		}
		defer c.Close()
		return <-peers, nil
	}
	platforms := []string{at("127.0.0.1", platform), at("127.0.0.9", platform), at("localhost", platform)}
	others := []string{at("127.0.0.1", closed.Port()), at("localhost", closed.Port())}
	own, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, one := range own {
		if prefix, err := netip.ParsePrefix(one.String()); err == nil && prefix.Addr().Is4() {
			platforms, others = append(platforms, at(prefix.Addr().String(), platform)), append(others, at(prefix.Addr().String(), 22))
		}
	}
	for name, dial := range map[string]dial{"by the policy": network.Dial, "anywhere": network.DialAnywhere} {
		for _, to := range platforms {
			if peer, err := visit(dial, to); err != nil || !address.Functions.Contains(peer) {
				t.Errorf("%s: the platform at %s sees %s: %v", name, to, peer, err)
			}
		}
		if _, err := visit(dial, open.String()); err != nil {
			t.Errorf("%s: an open port: %v", name, err)
		}
	}
	for _, to := range append(others, "10.255.255.1:80", "169.254.169.254:80", "[::1]:"+strconv.Itoa(int(closed.Port())), "[64:ff9b::7f00:1]:80") {
		if _, err := visit(network.Dial, to); !errors.As(err, new(*egress.RefusedError)) {
			t.Errorf("%s: %v", to, err)
		}
	}
	if _, err := visit(network.DialAnywhere, closed.String()); err != nil {
		t.Errorf("anywhere: %v", err)
	}
}
