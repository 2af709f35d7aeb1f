package daemon

import (
	"net"
	"net/netip"
	"slices"
	"testing"

	"github.com/lateen-dev/lateen/internal/config"
)

func TestPublicServicesAreTheListenerAndThePortOfTheURLs(t *testing.T) {
	at := netip.MustParseAddrPort
	for _, c := range []struct {
		name     string
		config   config.Config
		listener string
		want     []netip.AddrPort
	}{
		{"URLs below localhost", config.Config{Domain: "localhost"}, "127.0.0.1:8080", []netip.AddrPort{at("127.0.0.1:8080")}},
		{"a proxy in front", config.Config{Domain: "example.test", Scheme: "https"}, "127.0.0.1:8080", []netip.AddrPort{at("127.0.0.1:8080"), at("0.0.0.0:443")}},
		{"the listener itself serves the URLs", config.Config{Domain: "example.test", TLSCert: "cert.pem"}, "192.0.2.1:443", []netip.AddrPort{at("192.0.2.1:443")}},
		{"the same without TLS", config.Config{Domain: "example.test", Scheme: "http"}, "192.0.2.1:80", []netip.AddrPort{at("192.0.2.1:80")}},
	} {
		if got := publicServices(&c.config, net.TCPAddrFromAddrPort(at(c.listener))); !slices.Equal(got, c.want) {
			t.Errorf("%s: the services are %v, want %v", c.name, got, c.want)
		}
	}
}

func TestConnectionsMayTakeAnEighthOfTheMemoryWithinBounds(t *testing.T) {
	for machine, want := range map[int64]int64{0: 128 << 20, 512 << 20: 128 << 20, 2 << 30: 256 << 20, 64 << 30: 512 << 20} {
		if got := egressBytes(machine); got != want {
			t.Errorf("on a machine with %d bytes connections may take %d, want %d", machine, got, want)
		}
	}
}
