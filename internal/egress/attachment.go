package egress

import (
	"context"
	"errors"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/lateen-dev/lateen/internal/link"
)

// Attachment is the network of one sandbox.
type Attachment struct {
	network *Network
	device  *link.Device
	intake  intake
	ctx     context.Context //nolint:containedctx // its life, which every connection of it shares
	end     context.CancelFunc
	ended   chan struct{} // closed once nothing of it runs any more
	from    netip.Addr    // where it comes from to the platform's own services
	news    *rate.Limiter // of connections and flows
	project atomic.Pointer[project]
	streams quota // connections
	flows   quota // over UDP
	queries quota // DNS queries under way
	bytes   quota // held in memory
	peak    atomic.Int64
	extra   quota // bytes of connections' buffers beyond their least
	pieces  quota // bytes of fragmented packets
	work    sync.WaitGroup
	ledger  ledger

	delivering sync.Mutex // guards below
	stack      *guestStack
	last       time.Time   // when a packet came
	rests      *time.Timer // runs rest; nil before the first packet

	mu      sync.Mutex // guards below
	refused func(Refusal)
	told    map[string]bool // hosts whose refusal was told
	closing bool
}

const (
	maxQueries = 64      // DNS queries under way of one attachment
	allQueries = 1024    // and of all
	maxTold    = 32      // refusals told
	maxPieces  = 2 << 20 // bytes of fragmented packets in pieceTime
	minPiece   = 1 << 10 // what a fragment counts at least

	// pieceTime is how long the stack keeps fragments, with IPv6, whose packets it
	// keeps for longer.
	pieceTime = time.Minute
	// closeTime is how long the connections of an attachment may take to end once
	// they are cut. They wait for nothing outside this process then.
	closeTime = 5 * time.Second
)

func newAttachment(ctx context.Context, end context.CancelFunc, n *Network) *Attachment {
	a := &Attachment{
		network: n, ctx: ctx, end: end, ended: make(chan struct{}), from: n.nextDoorstep(),
		news: rate.NewLimiter(rate.Limit(n.o.Rate), n.o.Connections),
	}
	a.intake.a = a
	a.project.Store(n.nobody)
	return a
}

// Grant is what an attachment may do.
type Grant struct {
	// Project is the name under which connections and bytes count together.
	Project string
	// Bytes is how much memory may be held for the attachment. 0, and what is
	// above it, is [Options.Bytes].
	Bytes int64
	// Refused is told of the first refusal for each host, for a bounded number of
	// hosts. nil: nothing is told.
	Refused func(Refusal)
}

// Permit lets the sandbox connect to what the policy permits, from now on. Only
// the first grant counts.
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
	a.streams.over, a.streams.most = &p.places, int64(o.Connections)
	a.flows.over, a.flows.most = &p.places, int64(o.Flows)
	a.queries.over, a.queries.most = &p.queries, maxQueries
	a.bytes.over, a.bytes.most = &p.bytes, g.Bytes
	a.extra.most = g.Bytes / 4
	a.pieces.over, a.pieces.most = &a.bytes, maxPieces
	a.project.Store(p)
	a.refused = g.Refused
}

// Held is how many bytes of this process's memory are set aside for the
// attachment, now and at most so far: the buffers of its connections at their
// full size, fragments of packets, and what connections, flows and DNS queries
// take besides.
func (a *Attachment) Held() (now, peak int64) { return a.bytes.held.Load(), a.peak.Load() }

// hold sets memory aside, if there is so much.
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

// Usage is what the sandbox has used so far; it stays after the end.
func (a *Attachment) Usage() Usage { return a.ledger.usage() }

// Used reports whether the sandbox has tried to reach anything, whether or not
// that was permitted.
func (a *Attachment) Used() bool {
	a.delivering.Lock()
	defer a.delivering.Unlock()
	return !a.last.IsZero()
}

// Close cuts every connection and returns once nothing runs any more.
func (a *Attachment) Close() error {
	a.end()
	<-a.ended
	return nil
}

// serve hands packets to the stack until the device is closed.
func (a *Attachment) serve() {
	defer close(a.ended)
	err := a.device.Receive(a.intake.take)
	if a.ctx.Err() == nil {
		a.network.o.Log.WarnContext(a.ctx, "the network device of a sandbox broke", "err", err)
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
		a.network.o.Log.ErrorContext(a.ctx, "connections of a sandbox do not end")
	}
	if p := a.project.Load(); p != a.network.nobody {
		a.network.leave(p)
	}
}

// receive takes one packet.
func (a *Attachment) receive(packet []byte) {
	if !wanted(packet) || isFragment(packet) && !a.admitFragment(len(packet)) {
		return
	}
	a.delivering.Lock()
	defer a.delivering.Unlock()
	if a.stack == nil {
		var err error
		if a.stack, err = newGuestStack(a); err != nil {
			a.network.o.Log.ErrorContext(a.ctx, "a sandbox has no network", "err", err)
			a.end()
			return
		}
		if a.rests == nil {
			a.rests = time.AfterFunc(a.network.o.StackIdle, a.rest)
		} else {
			a.rests.Reset(a.network.o.StackIdle)
		}
	}
	a.last = time.Now()
	a.stack.deliver(packet)
}

// rest gives the stack up if nothing has needed it for a while. The next packet
// makes another.
func (a *Attachment) rest() {
	a.delivering.Lock()
	defer a.delivering.Unlock()
	if a.stack == nil {
		return
	}
	if a.streams.held.Load()+a.flows.held.Load() > 0 || time.Since(a.last) < a.network.o.StackIdle {
		a.rests.Reset(a.network.o.StackIdle)
		return
	}
	a.stack.discard()
	a.stack = nil
}

// enter counts one more goroutine that Close waits for, whose last act is
// work.Done; false if it is too late for another.
func (a *Attachment) enter() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.closing {
		a.work.Add(1)
	}
	return !a.closing
}

var errRefused = errors.New("the policy refuses it")

// judge returns where to dial, and counts the connection. A refusal is told.
func (a *Attachment) judge(to netip.AddrPort) (target, error) {
	if !a.permitted() {
		return target{}, errRefused
	}
	host := a.ledger.hostOf(to.Addr())
	dial, why := a.network.policy.judge(to)
	if why != "" {
		a.tell(Refusal{Host: host, To: to, Why: why})
		return target{}, errRefused
	}
	if dial.door {
		dial.from = a.from
	}
	a.ledger.count(host)
	return dial, nil
}

// permitted reports whether anything is permitted yet.
func (a *Attachment) permitted() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.refused != nil
}

// full tells that there are as many connections as there may be.
func (a *Attachment) full(to netip.AddrPort) {
	a.tell(Refusal{Host: a.ledger.hostOf(to.Addr()), To: to, Why: "there are as many connections as there may be at once"})
}

// tell tells a refusal, once for each host.
func (a *Attachment) tell(r Refusal) {
	a.mu.Lock()
	tell := a.refused
	if tell == nil || a.told[r.Host] || len(a.told) >= maxTold {
		a.mu.Unlock()
		return
	}
	if a.told == nil {
		a.told = map[string]bool{}
	}
	a.told[r.Host] = true
	a.mu.Unlock()
	tell(r)
}

// admitFragment reports whether the stack may keep a fragment of a packet. It
// counts for as long as the stack may keep it, whether it does or not.
func (a *Attachment) admitFragment(size int) bool {
	cost := int64(max(size, minPiece))
	if !a.permitted() || !a.pieces.take(cost) {
		return false
	}
	time.AfterFunc(pieceTime, func() { a.pieces.give(cost) })
	return true
}

// isFragment reports whether a wanted packet is a part of one.
func isFragment(packet []byte) bool {
	const fragment = 44
	if packet[0]>>4 == 6 {
		return packet[6] == fragment
	}
	return packet[6]&0x20 != 0 || packet[6]&0x1f != 0 || packet[7] != 0 // more of them, or an offset (RFC 791 §3.1)
}

// wanted reports whether a packet carries, or is a part of one that carries,
// TCP or UDP: there is nothing else here.
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
