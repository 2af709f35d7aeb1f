// Package egress is the network of sandboxed functions. Every packet that a
// sandbox sends ends in a TCP/IP stack of its own in this process, which dials
// out in its name where the policy permits that: the public Internet, what the
// operator adds, and chosen ports of this host. Nothing of the host's own
// routing or firewall is touched, and no privilege is needed.
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
	"github.com/lateen-dev/lateen/internal/link"
)

// Options are the settings of a [Network].
type Options struct {
	// Allow are networks that may be reached although they are not of the
	// public Internet. An address of this host stays out of reach even if one
	// of them holds it.
	Allow []netip.Prefix
	// Host are services of this host that may be reached, each at its port: at
	// the gateway, at the names localhost and below, and at its own address. An
	// unspecified address means each of the host's, and loopback at the gateway.
	// They cannot tell sandboxes from other programs of this host.
	Host []netip.AddrPort
	// Resolvers answer DNS queries. Empty: those of /etc/resolv.conf.
	Resolvers []netip.AddrPort

	Connections int // of one attachment at a time, UDP flows not among them; 0 is 1024
	Flows       int // of one attachment over UDP at a time; 0 is 256
	Rate        int // new connections and flows a second, after a burst of Connections; 0 is 500
	// All is how many connections and flows there may be of all attachments
	// together; those of one project may be half of them. 0 is half the files this
	// process may have open.
	All int
	// Bytes is how much memory is held for one attachment, as [Attachment.Held]
	// counts it, unless its [Grant] says less. 0 is 64 MiB.
	Bytes int64
	// AllBytes is how much is held for all attachments together; half of it may be
	// held for one project. 0 is 512 MiB.
	AllBytes int64

	DialTimeout time.Duration // 0 is 30 s
	FlowIdle    time.Duration // a UDP flow without a packet ends; 0 is 60 s
	LingerTime  time.Duration // for a guest to take the last bytes of a connection that its peer closed; 0 is 30 s
	StackIdle   time.Duration // an attachment without connections and packets gives its stack up; 0 is 30 s

	Log *slog.Logger // nil discards
}

// Network connects sandboxes to the outside. It has no goroutines of its own.
type Network struct {
	o        Options
	policy   policy
	dns      resolvers
	turns    *turns
	places   quota // connections and flows
	queries  quota // DNS queries under way
	bytes    quota // held in memory
	projects projects
	nobody   *project      // has the attachments without a grant
	serial   atomic.Uint32 // of attachments
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
		o: o, policy: policy{allow: o.Allow}, dns: resolvers{fixed: o.Resolvers}, turns: newTurns(2 * runtime.GOMAXPROCS(0)), nobody: &project{},
		places: quota{most: int64(o.All)}, queries: quota{most: allQueries}, bytes: quota{most: o.AllBytes},
	}
	n.policy.add(o.Host, false)
	return n
}

// Expose adds the platform's own services to those of [Options.Host]. They see
// sandboxes come from [address.Functions], each from another as long as there
// are enough, and so must not have an IPv6 address.
func (n *Network) Expose(services ...netip.AddrPort) { n.policy.add(services, true) }

// Attach serves the network device of a sandbox until ctx ends, the device
// breaks, or Close. At first it refuses everything: see [Attachment.Permit].
// The device is the attachment's from now on. Until the sandbox sends a packet
// the attachment is but a waiting goroutine.
func (n *Network) Attach(ctx context.Context, device *os.File) (*Attachment, error) {
	ctx, end := context.WithCancel(ctx)
	a := newAttachment(ctx, end, n)
	dev, err := link.New(device, &a.intake)
	if err != nil {
		end()
		return nil, fmt.Errorf("attach a sandbox to the network: %w", err)
	}
	a.device = dev
	context.AfterFunc(ctx, func() { _ = dev.Close() }) // wakes the receiver
	go a.serve()
	return a, nil
}

// nextDoorstep returns the address from which an attachment comes to the
// platform's own services.
func (n *Network) nextDoorstep() netip.Addr {
	const many = 1<<16 - 2 // all of the network but its first and last
	of := address.Functions.Addr().As4()
	binary.BigEndian.PutUint16(of[2:], uint16(1+n.serial.Add(1)%many)) //nolint:gosec // as bounded
	return netip.AddrFrom4(of)
}

// dial connects to what the policy gave.
func (n *Network) dial(ctx context.Context, network string, at target) (net.Conn, error) {
	dialer := net.Dialer{Timeout: n.o.DialTimeout, ControlContext: keepLittle}
	if from := netip.AddrPortFrom(at.from, 0); at.from.IsValid() && network == "tcp" {
		dialer.LocalAddr = net.TCPAddrFromAddrPort(from)
	} else if at.from.IsValid() {
		dialer.LocalAddr = net.UDPAddrFromAddrPort(from)
	}
	return dialer.DialContext(ctx, network, at.to.String())
}
