// Package egress is the network of sandboxed functions. All packets of a sandbox go
// to a user-space TCP/IP stack of its own in this process. The stack dials out on
// behalf of the sandbox where the policy permits it: to the public Internet, to
// networks that the operator adds, and to chosen ports of this host. The host's
// routing and firewall stay unchanged, and no privilege is needed.
package egress

import (
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/lateen-dev/lateen/internal/address"
	"github.com/lateen-dev/lateen/internal/netdev"
)

// Options are the settings of a [Network].
type Options struct {
	// Allow lists permitted networks outside the public Internet. It does not permit
	// addresses of this host, even within one of these networks.
	Allow []netip.Prefix
	// Host lists permitted services of this host, each with its port. Sandboxes
	// reach them at the gateway, at localhost and its subdomains, and at the
	// service's own address. An unspecified address means every address of the host,
	// and loopback at the gateway. The services cannot distinguish sandboxes from
	// other programs of this host.
	Host []netip.AddrPort
	// Resolvers answer DNS queries. Empty means the servers in /etc/resolv.conf.
	Resolvers []netip.AddrPort

	Connections int // concurrent connections of one attachment, without UDP flows; 0 is 1024
	Flows       int // concurrent UDP flows of one attachment; 0 is 256
	Rate        int // new connections and flows per second, after a burst of Connections; 0 is 500
	// All is the maximum number of connections and flows of all attachments
	// together; one project may have half of them. 0 is half the open-files limit of
	// this process.
	All int
	// Bytes is the memory limit of one attachment, as [Attachment.Held] counts it,
	// unless its [Grant] has a lower one. 0 is 64 MiB.
	Bytes int64
	// AllBytes is the memory limit of all attachments together; one project may use
	// half of it. 0 is 512 MiB.
	AllBytes int64

	DialTimeout time.Duration // 0 is 30 s
	FlowIdle    time.Duration // time without packets after which a UDP flow ends; 0 is 60 s
	LingerTime  time.Duration // time for a guest to read the last bytes of a connection that its peer closed; 0 is 30 s
	StackIdle   time.Duration // time without connections and packets after which an attachment discards its stack; 0 is 30 s

	Log *slog.Logger // nil discards
}

// Network connects sandboxes to other hosts. It has no goroutines of its own.
type Network struct {
	o          Options
	policy     policy
	dns        resolvers
	buffers    *buffers
	places     quota // connections and flows
	queries    quota // DNS queries in progress
	bytes      quota // bytes held in memory
	projects   projects
	unassigned *project      // the project of attachments without a grant
	serial     atomic.Uint32 // serial number of the last attachment
}

// New returns a network.
func New(o Options) *Network {
	o.Connections = cmp.Or(o.Connections, 1024)
	o.Flows = cmp.Or(o.Flows, 256)
	o.Rate = cmp.Or(o.Rate, 500)
	o.All = cmp.Or(o.All, maxFiles()/2)
	o.Bytes = cmp.Or(o.Bytes, 64<<20)
	o.AllBytes = cmp.Or(o.AllBytes, 512<<20)
	o.DialTimeout = cmp.Or(o.DialTimeout, 30*time.Second)
	o.FlowIdle = cmp.Or(o.FlowIdle, time.Minute)
	o.LingerTime = cmp.Or(o.LingerTime, 30*time.Second)
	o.StackIdle = cmp.Or(o.StackIdle, 30*time.Second)
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	n := &Network{
		o: o, policy: policy{allow: o.Allow}, dns: resolvers{fixed: o.Resolvers}, buffers: newBuffers(2 * runtime.GOMAXPROCS(0)), unassigned: &project{},
		places: quota{limit: int64(o.All)}, queries: quota{limit: allQueries}, bytes: quota{limit: o.AllBytes},
	}
	n.policy.add(o.Host, false)
	return n
}

// Expose adds the platform's own services to those of [Options.Host]. They see each
// sandbox at another address of [address.Functions], as long as there are enough,
// and so must not have an IPv6 address.
func (n *Network) Expose(services ...netip.AddrPort) { n.policy.add(services, true) }

// Attach serves the network device of a sandbox until ctx ends, the device breaks,
// or Close. It refuses all connections until [Attachment.Permit]. The attachment
// owns the device from now on. Before the sandbox's first packet, the attachment is
// only one waiting goroutine.
func (n *Network) Attach(ctx context.Context, device *os.File) (*Attachment, error) {
	ctx, cancel := context.WithCancel(ctx)
	a := newAttachment(ctx, cancel, n)
	dev, err := netdev.New(device, &a.intake)
	if err != nil {
		cancel()
		return nil, fmt.Errorf("attach a sandbox to the network: %w", err)
	}
	a.device = dev
	context.AfterFunc(ctx, func() { _ = dev.Close() }) // wakes the receiver
	go a.serve()
	return a, nil
}

// nextSource returns the source address of an attachment's connections to the
// platform's own services.
func (n *Network) nextSource() netip.Addr {
	const many = 1<<16 - 2 // all addresses of the network but the first and the last
	of := address.Functions.Addr().As4()
	binary.BigEndian.PutUint16(of[2:], uint16(1+n.serial.Add(1)%many)) //nolint:gosec // as bounded
	return netip.AddrFrom4(of)
}

// dial connects to the target that the policy returned.
func (n *Network) dial(ctx context.Context, network string, at target) (net.Conn, error) {
	dialer := net.Dialer{Timeout: n.o.DialTimeout, ControlContext: limitUnsent}
	if from := netip.AddrPortFrom(at.from, 0); at.from.IsValid() && network == "tcp" {
		dialer.LocalAddr = net.TCPAddrFromAddrPort(from)
	} else if at.from.IsValid() {
		dialer.LocalAddr = net.UDPAddrFromAddrPort(from)
	}
	return dialer.DialContext(ctx, network, at.to.String())
}
