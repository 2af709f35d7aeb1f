package egress

import (
	"context"
	"errors"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/lateen-dev/lateen/internal/netdev"
)

// Attachment is the network of one sandbox.
type Attachment struct {
	network   *Network
	device    *netdev.Device
	intake    intake
	ctx       context.Context //nolint:containedctx // its lifetime, shared by its connections
	end       context.CancelFunc
	ended     chan struct{} // closed once all its goroutines have ended
	from      netip.Addr    // source address of its connections to the platform's own services
	opens     *rate.Limiter // rate of new connections and flows
	project   atomic.Pointer[project]
	streams   quota // connections
	flows     quota // UDP flows
	queries   quota // DNS queries in progress
	bytes     quota // bytes held in memory
	peak      atomic.Int64
	extra     quota // bytes of connection buffers beyond the minimum
	fragments quota // bytes of fragmented packets
	work      sync.WaitGroup
	ledger    ledger

	delivering sync.Mutex // guards the fields below
	stack      *guestStack
	last       time.Time   // time of the last packet
	idleTimer  *time.Timer // runs discardIdle; nil before the first packet

	mu       sync.Mutex // guards the fields below
	refused  func(Refusal)
	reported map[string]bool // hosts whose refusal was reported
	closing  bool
}

const (
	maxQueries       = 64      // DNS queries in progress of one attachment
	allQueries       = 1024    // DNS queries in progress of all attachments
	maxReported      = 32      // reported refusals
	maxFragmentBytes = 2 << 20 // bytes of fragmented packets within fragmentTime
	minFragmentBytes = 1 << 10 // minimum size that is counted for a fragment

	// fragmentTime is how long the stack stores IPv6 fragments; it drops IPv4 fragments
	// earlier.
	fragmentTime = time.Minute
	// closeTime is the time limit for the connections of an attachment to end after
	// an abort. They then wait for nothing outside this process.
	closeTime = 5 * time.Second
)

func newAttachment(ctx context.Context, end context.CancelFunc, n *Network) *Attachment {
	a := &Attachment{
		network: n, ctx: ctx, end: end, ended: make(chan struct{}), from: n.nextSource(),
		opens: rate.NewLimiter(rate.Limit(n.o.Rate), n.o.Connections),
	}
	a.intake.a = a
	a.project.Store(n.unassigned)
	return a
}

// Grant is the permission and the limits of an attachment.
type Grant struct {
	// Project is the name under which connections and bytes of several attachments
	// are counted together.
	Project string
	// Bytes is the memory limit of the attachment. 0 and values above
	// [Options.Bytes] mean [Options.Bytes].
	Bytes int64
	// Refused is called for the first refusal of each host, for a bounded number of
	// hosts. nil reports no refusals.
	Refused func(Refusal)
}

// Permit lets the sandbox open the connections that the policy permits, from now on.
// Only the first grant has an effect.
func (a *Attachment) Permit(g Grant) {
	if g.Refused == nil {
		g.Refused = func(Refusal) {}
	}
	o := &a.network.o
	if g.Bytes <= 0 || g.Bytes > o.Bytes {
		g.Bytes = o.Bytes
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.refused != nil || a.closing {
		return
	}
	p := a.network.join(g.Project)
	a.streams.parent, a.streams.limit = &p.places, int64(o.Connections)
	a.flows.parent, a.flows.limit = &p.places, int64(o.Flows)
	a.queries.parent, a.queries.limit = &p.queries, maxQueries
	a.bytes.parent, a.bytes.limit = &p.bytes, g.Bytes
	a.extra.limit = g.Bytes / 4
	a.fragments.parent, a.fragments.limit = &a.bytes, maxFragmentBytes
	a.project.Store(p)
	a.refused = g.Refused
}

// Held is the memory of this process that is reserved for the attachment, in bytes,
// now and at its peak: the buffers of its connections at full size, fragments of
// packets, and the overhead of connections, flows and DNS queries.
func (a *Attachment) Held() (now, peak int64) { return a.bytes.held.Load(), a.peak.Load() }

// hold reserves memory and reports whether the quotas permit it.
func (a *Attachment) hold(bytes int64) bool {
	if !a.bytes.take(bytes) {
		return false
	}
	for now := a.bytes.held.Load(); ; {
		peak := a.peak.Load()
		if now <= peak || a.peak.CompareAndSwap(peak, now) {
			return true
		}
	}
}

// Usage is the network usage of the sandbox so far. It remains available after
// Close.
func (a *Attachment) Usage() Usage { return a.ledger.usage() }

// Used reports whether the sandbox has sent any packet to the network, permitted or
// not.
func (a *Attachment) Used() bool {
	a.delivering.Lock()
	defer a.delivering.Unlock()
	return !a.last.IsZero()
}

// Close aborts every connection and returns once all goroutines have ended.
func (a *Attachment) Close() error {
	a.end()
	<-a.ended
	return nil
}

// serve passes packets to the stack until the device is closed.
func (a *Attachment) serve() {
	defer close(a.ended)
	err := a.device.Receive(a.intake.take)
	if a.ctx.Err() == nil {
		a.network.o.Log.WarnContext(a.ctx, "network device of a sandbox failed", "err", err)
	}
	a.end()
	a.mu.Lock()
	a.closing = true
	a.mu.Unlock()
	a.delivering.Lock()
	stack := a.stack
	a.stack = nil
	a.delivering.Unlock()
	if stack != nil && !stack.close() {
		a.network.o.Log.ErrorContext(a.ctx, "connections of a sandbox did not end in time")
	}
	if p := a.project.Load(); p != a.network.unassigned {
		a.network.leave(p)
	}
}

// receive handles one packet.
func (a *Attachment) receive(packet []byte) {
	if !wanted(packet) || isFragment(packet) && !a.admitFragment(len(packet)) {
		return
	}
	a.delivering.Lock()
	defer a.delivering.Unlock()
	if a.stack == nil {
		var err error
		if a.stack, err = newGuestStack(a); err != nil {
			a.network.o.Log.ErrorContext(a.ctx, "could not create the network stack of a sandbox", "err", err)
			a.end()
			return
		}
		if a.idleTimer == nil {
			a.idleTimer = time.AfterFunc(a.network.o.StackIdle, a.discardIdle)
		} else {
			a.idleTimer.Reset(a.network.o.StackIdle)
		}
	}
	a.last = time.Now()
	a.stack.deliver(packet)
}

// discardIdle discards the stack after StackIdle without connections and packets.
// The next packet creates another.
func (a *Attachment) discardIdle() {
	a.delivering.Lock()
	defer a.delivering.Unlock()
	if a.stack == nil {
		return
	}
	if a.streams.held.Load()+a.flows.held.Load() > 0 || time.Since(a.last) < a.network.o.StackIdle {
		a.idleTimer.Reset(a.network.o.StackIdle)
		return
	}
	a.stack.discard()
	a.stack = nil
}

// enter registers a goroutine that Close waits for and that calls work.Done at its
// end. It returns false once the attachment is closing.
func (a *Attachment) enter() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.closing {
		a.work.Add(1)
	}
	return !a.closing
}

var errRefused = errors.New("refused by the egress policy")

// checkTarget returns the target to dial and counts the connection, or reports a
// refusal.
func (a *Attachment) checkTarget(to netip.AddrPort) (target, error) {
	if !a.permitted() {
		return target{}, errRefused
	}
	host := a.ledger.hostOf(to.Addr())
	dial, why := a.network.policy.check(to)
	if why != "" {
		a.report(Refusal{Host: host, To: to, Why: why})
		return target{}, errRefused
	}
	if dial.platform {
		dial.from = a.from
	}
	a.ledger.count(host)
	return dial, nil
}

// permitted reports whether Permit has been called.
func (a *Attachment) permitted() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.refused != nil
}

// reportLimit reports that the connection limit is reached.
func (a *Attachment) reportLimit(to netip.AddrPort) {
	a.report(Refusal{Host: a.ledger.hostOf(to.Addr()), To: to, Why: "the limit of concurrent connections is reached"})
}

// report reports a refusal, once per host.
func (a *Attachment) report(r Refusal) {
	a.mu.Lock()
	report := a.refused
	if report == nil || a.reported[r.Host] || len(a.reported) >= maxReported {
		a.mu.Unlock()
		return
	}
	if a.reported == nil {
		a.reported = map[string]bool{}
	}
	a.reported[r.Host] = true
	a.mu.Unlock()
	report(r)
}

// admitFragment reports whether the stack may store a fragment. The fragment counts
// for fragmentTime, whether the stack stores it or not.
func (a *Attachment) admitFragment(size int) bool {
	cost := int64(max(size, minFragmentBytes))
	if !a.permitted() || !a.fragments.take(cost) {
		return false
	}
	time.AfterFunc(fragmentTime, func() { a.fragments.give(cost) })
	return true
}

// isFragment reports whether a wanted packet is a fragment.
func isFragment(packet []byte) bool {
	const fragment = 44
	if packet[0]>>4 == 6 {
		return packet[6] == fragment
	}
	return packet[6]&0x20 != 0 || packet[6]&0x1f != 0 || packet[7] != 0 // the "more fragments" flag or an offset (RFC 791 §3.1)
}

// wanted reports whether a packet is TCP, UDP or a fragment; the stack ignores all
// others.
func wanted(packet []byte) bool {
	const tcp, udp, fragment = 6, 17, 44
	switch {
	case len(packet) >= 20 && packet[0]>>4 == 4:
		return packet[9] == tcp || packet[9] == udp
	case len(packet) >= 40 && packet[0]>>4 == 6:
		return packet[6] == tcp || packet[6] == udp || packet[6] == fragment
	default:
		return false
	}
}
