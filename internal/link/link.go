// Package link is the network device of a sandbox: made inside, in a network
// namespace that has nothing else, and read and written from outside, where
// every packet of the sandbox ends. Both ends agree on the addresses here.
package link

import (
	"net/netip"

	"github.com/lateen-dev/lateen/internal/link/inner"
)

// The addresses of every sandbox and of the gateway, the outer end.
var (
	Guest    = netip.PrefixFrom(netip.AddrFrom4(inner.Guest()), inner.GuestBits)    //nolint:gochecknoglobals // a constant in all but name
	Guest6   = netip.PrefixFrom(netip.AddrFrom16(inner.Guest6()), inner.Guest6Bits) //nolint:gochecknoglobals // a constant in all but name
	Gateway  = netip.MustParseAddr("198.18.0.1")                                    //nolint:gochecknoglobals // a constant in all but name
	Gateway6 = netip.MustParseAddr("fd6c:6174:6565:6e::1")                          //nolint:gochecknoglobals // a constant in all but name
)

const (
	// MTU is the size of the largest packet.
	MTU = inner.MTU
	// Host is the name by which a sandbox knows the gateway.
	Host = "host.lateen.internal"
	// ResolvConf is the /etc/resolv.conf of a sandbox: the gateway answers.
	ResolvConf = "nameserver 198.18.0.1\noptions timeout:5 attempts:2\n"
	// Hosts is its /etc/hosts.
	Hosts = "127.0.0.1\tlocalhost\n::1\tlocalhost\n198.18.0.1\t" + Host + "\n"
)

// Buffer is room for any packet.
type Buffer [1 << 16]byte

// Lender lends room for packets, for as long as none is waited for.
type Lender interface {
	Get() *Buffer
	Put(room *Buffer)
}
