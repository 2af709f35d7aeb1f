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
	ctx     context.Context //nolint:containedctx // its life, which every connection of it shares
	end     context.CancelFunc
	ended   chan struct{} // closed once nothing of it runs any more
	from    netip.Addr    // where it comes from to the platform's own services
	news    *rate.Limiter // of connections and flows
	queries chan struct{} // a place for each DNS query under way
	work    sync.WaitGroup
	ledger  ledger
	streams atomic.Int64 // connections now
	flows   atomic.Int64 // over UDP now

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
	maxQueries = 64 // DNS queries under way
	maxTold    = 32 // refusals told
)

func newAttachment(ctx context.Context, end context.CancelFunc, n *Network, device *link.Device) *Attachment {
	return &Attachment{
		network: n, device: device, ctx: ctx, end: end, ended: make(chan struct{}), from: n.nextDoorstep(),
		news:    rate.NewLimiter(rate.Limit(n.o.Rate), n.o.Connections),
		queries: make(chan struct{}, maxQueries),
	}
}

// Permit lets the sandbox connect to what the policy permits, from now on. It
// is told of the first refusal for each host, for a bounded number of hosts;
// nil: nobody is told.
func (a *Attachment) Permit(refused func(Refusal)) {
	if refused == nil {
		refused = func(Refusal) {}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.refused = refused
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
	err := a.device.Receive(a.receive)
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
	if stack != nil {
		stack.close()
	}
	a.work.Wait()
}

// receive takes one packet.
func (a *Attachment) receive(packet []byte) {
	if !wanted(packet) {
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
	if a.streams.Load()+a.flows.Load() > 0 || time.Since(a.last) < a.network.o.StackIdle {
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
