package egress

import (
	"context"
	"net"
	"net/netip"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"
	"gvisor.dev/gvisor/pkg/waiter"

	"github.com/lateen-dev/lateen/internal/link"
)

// acceptFlow takes the first datagram of a flow. It does not block; false
// tells the sandbox that nobody is there.
func (g *guestStack) acceptFlow(r *udp.ForwarderRequest) bool {
	a := g.attachment
	to := destination(r.ID())
	dns := isResolver(to)
	if !a.enter() {
		return false
	}
	release, dial, ok := a.admitFlow(to, dns)
	if !ok {
		a.work.Done()
		return false
	}
	var queue waiter.Queue
	endpoint, err := r.CreateEndpoint(&queue)
	if err != nil {
		release()
		return false
	}
	end := newGuest(endpoint, &queue)
	go func() {
		defer release()
		defer end.close(false)
		if dns {
			a.answerFlow(end)
		} else {
			a.runFlow(end, dial)
		}
	}()
	return true
}

// admitFlow says where a flow goes, if there may be one. Release ends what
// enter began.
func (a *Attachment) admitFlow(to netip.AddrPort, dns bool) (release func(), dial target, ok bool) {
	if !a.news.Allow() {
		return nil, dial, false
	}
	if _, ok := claim(&a.flows, a.network.o.Flows); !ok {
		a.full(to)
		return nil, dial, false
	}
	if !a.network.take() {
		a.flows.Add(-1)
		a.full(to)
		return nil, dial, false
	}
	release = func() {
		a.network.give()
		a.flows.Add(-1)
		a.work.Done()
	}
	if dns && a.permitted() {
		return release, dial, true
	}
	dial, err := a.judge(to)
	if err != nil {
		a.network.give()
		a.flows.Add(-1)
		return nil, dial, false
	}
	return release, dial, true
}

// runFlow passes datagrams both ways until none has come for a while.
func (a *Attachment) runFlow(end *guest, dial target) {
	host, err := a.network.dial(a.ctx, "udp", dial)
	if err != nil {
		return
	}
	ctx, cancel := context.WithCancel(a.ctx)
	defer cancel()
	defer context.AfterFunc(ctx, func() { _ = host.Close() })()
	defer func() { _ = host.Close() }()
	idle := time.AfterFunc(a.network.o.FlowIdle, cancel)
	defer idle.Stop()
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		defer cancel()
		a.sendDatagrams(ctx, end, host, idle)
	}()
	a.fetchDatagrams(ctx, end, host, idle)
	cancel()
	<-sent
}

func (a *Attachment) sendDatagrams(ctx context.Context, end *guest, host net.Conn, idle *time.Timer) {
	for end.ready(ctx) == nil {
		n, err := a.sendDatagram(end, host)
		if err != nil {
			return
		}
		idle.Reset(a.network.o.FlowIdle)
		a.ledger.sent.Add(int64(n))
	}
}

// sendDatagram sends one, if there is one. What the network says to it is about
// earlier ones, and is not told.
func (a *Attachment) sendDatagram(end *guest, host net.Conn) (int, error) {
	room := a.network.buffers.Get()
	defer a.network.buffers.Put(room)
	n, err := end.read(room[:])
	if err == nil && n > 0 {
		_, _ = host.Write(room[:n])
	}
	return n, err
}

func (a *Attachment) fetchDatagrams(ctx context.Context, end *guest, host net.Conn, idle *time.Timer) {
	raw, err := rawConn(host)
	for err == nil {
		var room *link.Buffer
		var n int
		if room, n, err = a.network.receive(raw); err != nil {
			return
		}
		idle.Reset(a.network.o.FlowIdle)
		a.ledger.received.Add(int64(n))
		err = end.write(ctx, room[:n])
		a.network.buffers.Put(room)
	}
}
