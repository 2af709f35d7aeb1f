// Package netdev is the network device of a sandbox. A child process creates it inside
// the sandbox, in a network namespace without other devices; the platform reads and
// writes its packets on the host. This package has the addresses of both ends.
package netdev

import (
	"net/netip"

	"github.com/lateen-dev/lateen/internal/netdev/inner"
)

// The addresses of every sandbox and of the gateway, the host end.
var (
	Guest    = netip.PrefixFrom(netip.AddrFrom4(inner.Guest()), inner.GuestBits)    //nolint:gochecknoglobals // a constant in all but name
	Guest6   = netip.PrefixFrom(netip.AddrFrom16(inner.Guest6()), inner.Guest6Bits) //nolint:gochecknoglobals // a constant in all but name
	Gateway  = netip.MustParseAddr("198.18.0.1")                                    //nolint:gochecknoglobals // a constant in all but name
	Gateway6 = netip.MustParseAddr("fd6c:6174:6565:6e::1")                          //nolint:gochecknoglobals // a constant in all but name
)

const (
	// MTU is the size of the largest packet.
	MTU = inner.MTU
	// Host is the name of the gateway in a sandbox.
	Host = "host.lateen.internal"
	// ResolvConf is the /etc/resolv.conf of a sandbox: the gateway is its DNS server.
	ResolvConf = "nameserver 198.18.0.1\noptions timeout:5 attempts:2\n"
	// Hosts is the /etc/hosts of a sandbox.
	Hosts = "127.0.0.1\tlocalhost\n::1\tlocalhost\n198.18.0.1\t" + Host + "\n"
)

// Buffer is large enough for any packet.
type Buffer [1 << 16]byte

// Lender lends buffers. A device returns its buffer before it waits for packets.
type Lender interface {
	Get() *Buffer
	Put(room *Buffer)
}
