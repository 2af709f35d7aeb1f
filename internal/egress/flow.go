package egress

import (
	"context"
	"net"
	"net/netip"
	"syscall"
	"time"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip/checksum"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"
)

// flow is the datagrams between a port of the sandbox and a peer.
type flow struct {
	host net.Conn
	raw  syscall.RawConn
	idle *time.Timer
}

// receiveDatagram forwards a datagram at once, without a queue and without blocking.
// false makes the stack report the port as closed to the sandbox.
func (g *guestStack) receiveDatagram(id stack.TransportEndpointID, pkt *stack.PacketBuffer) bool {
	datagram, ok := datagramIn(pkt)
	if !ok {
		return true // malformed
	}
	if to := destination(id); isResolver(to) {
		return g.receiveQuery(id, datagram)
	}
	g.mu.Lock()
	f := g.flows[id]
	g.mu.Unlock()
	if f == nil {
		if f = g.openFlow(id); f == nil {
			return false
		}
	}
	f.idle.Reset(g.attachment.network.o.FlowIdle)
	g.attachment.ledger.sent.Add(int64(f.send(datagram)))
	return true
}

// datagramIn returns the bytes of a datagram, as slices of the packet's memory.
func datagramIn(pkt *stack.PacketBuffer) (d parts, ok bool) {
	h := header.UDP(pkt.TransportHeader().Slice())
	if len(h) < header.UDPMinimumSize || int(h.Length()) < header.UDPMinimumSize || int(h.Length()) > pkt.Data().Size()+header.UDPMinimumSize {
		return nil, false
	}
	pkt.Data().CapLength(int(h.Length()) - header.UDPMinimumSize)
	_, err := pkt.Data().ReadTo(&d, true)
	return d, err == nil
}

// parts collects the written slices without copying them.
type parts [][]byte

// Write implements [io.Writer].
func (p *parts) Write(b []byte) (int, error) {
	if len(b) > 0 {
		*p = append(*p, b)
	}
	return len(b), nil
}

// send sends a datagram. A datagram without buffer space in the host's kernel is
// lost. Errors from the network concern earlier datagrams and are ignored.
func (f *flow) send(datagram parts) (n int) {
	if len(datagram) == 0 {
		return 0
	}
	_ = f.raw.Write(func(fd uintptr) bool {
		n, _ = writeParts(fd, datagram)
		return true
	})
	return max(n, 0)
}

// openFlow opens a flow, or returns nil if it is refused.
func (g *guestStack) openFlow(id stack.TransportEndpointID) *flow {
	a := g.attachment
	if !a.enter() {
		return nil
	}
	to := destination(id)
	dial, release, ok := a.admitFlow(to)
	if !ok {
		a.work.Done()
		return nil
	}
	f := &flow{}
	var err error
	if f.host, err = a.network.dial(a.ctx, "udp", dial); err == nil {
		f.raw, err = rawConn(f.host)
	}
	if err != nil {
		if f.host != nil {
			_ = f.host.Close() // nothing was sent
		}
		release()
		a.work.Done()
		return nil
	}
	ctx, cancel := context.WithCancel(a.ctx)
	f.idle = time.AfterFunc(a.network.o.FlowIdle, cancel)
	g.mu.Lock()
	g.flows[id] = f
	g.mu.Unlock()
	go func() {
		defer a.work.Done()
		defer release()
		defer cancel()
		g.runFlow(ctx, id, f)
	}()
	return f
}

// admitFlow returns the target of a permitted flow.
func (a *Attachment) admitFlow(to netip.AddrPort) (dial target, release func(), ok bool) {
	if !a.permitted() || !a.opens.Allow() {
		return dial, nil, false
	}
	if !a.flows.take(1) {
		a.reportLimit(to)
		return dial, nil, false
	}
	if !a.hold(flowBytes) {
		a.flows.give(1)
		a.reportLimit(to)
		return dial, nil, false
	}
	release = func() {
		a.bytes.give(flowBytes)
		a.flows.give(1)
	}
	dial, err := a.checkTarget(to)
	if err != nil {
		release()
		return dial, nil, false
	}
	return dial, release, true
}

// runFlow forwards the peer's datagrams until the flow has been idle for FlowIdle.
func (g *guestStack) runFlow(ctx context.Context, id stack.TransportEndpointID, f *flow) {
	defer func() {
		f.idle.Stop()
		g.mu.Lock()
		delete(g.flows, id)
		g.mu.Unlock()
		_ = f.host.Close()
	}()
	defer context.AfterFunc(ctx, func() { _ = f.host.Close() })()
	for {
		n, err := g.forwardDatagram(id, f)
		if err != nil {
			return
		}
		f.idle.Reset(g.attachment.network.o.FlowIdle)
		g.attachment.ledger.received.Add(int64(n))
	}
}

// forwardDatagram forwards one datagram, once it has arrived.
func (g *guestStack) forwardDatagram(id stack.TransportEndpointID, f *flow) (n int, err error) {
	a := g.attachment
	var failed error
	err = f.raw.Read(func(fd uintptr) bool {
		p := a.project.Load()
		buf := a.network.buffers.get(p)
		defer func() { a.network.buffers.put(p, buf, n) }()
		n, failed = readFile(fd, buf[:])
		if failed != nil {
			n = 0
			return !isAgain(failed)
		}
		failed = g.sendDatagram(id, buf[:n])
		return true
	})
	if err == nil {
		err = failed
	}
	return n, err
}

// sendDatagram sends the sandbox a datagram from the peer of id.
func (g *guestStack) sendDatagram(id stack.TransportEndpointID, datagram []byte) error {
	protocol := header.IPv4ProtocolNumber
	if id.LocalAddress.Len() == header.IPv6AddressSize {
		protocol = header.IPv6ProtocolNumber
	}
	route, failed := g.stack.FindRoute(nic, id.LocalAddress, id.RemoteAddress, protocol, false)
	if failed != nil {
		return asError(failed)
	}
	defer route.Release()
	pkt := stack.NewPacketBuffer(stack.PacketBufferOptions{
		ReserveHeaderBytes: header.UDPMinimumSize + int(route.MaxHeaderLength()), Payload: buffer.MakeWithData(datagram),
	})
	defer pkt.DecRef()
	h := header.UDP(pkt.TransportHeader().Push(header.UDPMinimumSize))
	pkt.TransportProtocolNumber = udp.ProtocolNumber
	length := uint16(pkt.Size()) //nolint:gosec // at most 1<<16 - 1, the limit of UDP
	h.Encode(&header.UDPFields{SrcPort: id.LocalPort, DstPort: id.RemotePort, Length: length})
	sum := checksum.Combine(route.PseudoHeaderChecksum(udp.ProtocolNumber, length), pkt.Data().Checksum())
	if sum = ^h.CalculateChecksum(sum); sum == 0 {
		sum = 0xffff // 0 means no checksum (RFC 768)
	}
	h.SetChecksum(sum)
	return asError(route.WritePacket(stack.NetworkHeaderParams{Protocol: udp.ProtocolNumber, TTL: route.DefaultTTL()}, pkt))
}
