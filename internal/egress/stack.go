package egress

import (
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"

	"github.com/lateen-dev/lateen/internal/link"
)

const (
	nic = 1

	// The most and the least that a connection keeps unread or unsent in each
	// direction. The first connections of an attachment have the most, later ones
	// a share of what [Attachment.extra] has left.
	maxBytes = 512 << 10
	minBytes = 8 << 10
	// keptFactor is how much memory a connection takes at most by the size of a
	// buffer: the unread bytes and the stack's overhead of them fill one, the last
	// packet may go beyond it by half of one, unsent bytes fill one, and the
	// overhead of unsent bytes takes half of one. See [guest.offer].
	keptFactor = 3
	// streamBytes is what a connection takes besides its buffers, and flowBytes
	// what a flow takes: goroutines, timers, the stack's and the runtime's records.
	streamBytes = 24 << 10
	flowBytes   = 8 << 10
	// extraShare is the share of the bytes left that a connection may have.
	extraShare = 8

	timeWait  = 2 * time.Second // an old packet is not older: the wire is a queue in memory
	abortTick = 10 * time.Millisecond
)

// guestStack is the TCP/IP stack that a sandbox's packets end in.
type guestStack struct {
	attachment *Attachment
	stack      *stack.Stack
	wire       *wire

	mu    sync.Mutex // guards below
	flows map[stack.TransportEndpointID]*flow
}

func newGuestStack(a *Attachment) (*guestStack, error) {
	s := stack.New(stack.Options{
		NetworkProtocols:   []stack.NetworkProtocolFactory{ipv4.NewProtocol, ipv6.NewProtocol},
		TransportProtocols: []stack.TransportProtocolFactory{tcp.NewProtocol, udp.NewProtocol},
	})
	g := &guestStack{attachment: a, stack: s, wire: &wire{device: a.device}, flows: map[stack.TransportEndpointID]*flow{}}
	if err := g.configure(); err != nil {
		s.Close()
		return nil, err
	}
	streams := tcp.NewForwarder(s, minBytes, a.network.o.Connections, g.acceptStream)
	s.SetTransportProtocolHandler(tcp.ProtocolNumber, func(id stack.TransportEndpointID, pkt *stack.PacketBuffer) bool {
		if isSYN(pkt) && !a.news.Allow() {
			return true // it comes again, later
		}
		return streams.HandlePacket(id, pkt)
	})
	s.SetTransportProtocolHandler(udp.ProtocolNumber, g.receiveDatagram)
	return g, nil
}

// configure makes the stack answer for every address there is.
func (g *guestStack) configure() error {
	limit := tcpip.TCPSendBufferSizeRangeOption{Min: minBytes, Default: minBytes, Max: maxBytes}
	unread := tcpip.TCPReceiveBufferSizeRangeOption{Min: minBytes, Default: minBytes, Max: maxBytes}
	sack, linger, wait := tcpip.TCPSACKEnabled(true), tcpip.TCPLingerTimeoutOption(g.attachment.network.o.LingerTime), tcpip.TCPTimeWaitTimeoutOption(timeWait)
	var failed []error
	for _, option := range []tcpip.SettableTransportProtocolOption{&limit, &unread, &sack, &linger, &wait} {
		failed = append(failed, asError(g.stack.SetTransportProtocolOption(tcp.ProtocolNumber, option)))
	}
	failed = append(failed,
		asError(g.stack.CreateNIC(nic, g.wire)),
		asError(g.stack.SetPromiscuousMode(nic, true)),
		asError(g.stack.SetSpoofing(nic, true)),
	)
	g.stack.SetRouteTable([]tcpip.Route{{Destination: header.IPv4EmptySubnet, NIC: nic}, {Destination: header.IPv6EmptySubnet, NIC: nic}})
	if err := errors.Join(failed...); err != nil {
		return fmt.Errorf("configure a sandbox's stack: %w", err)
	}
	return nil
}

// deliver takes a packet from the sandbox.
func (g *guestStack) deliver(packet []byte) {
	protocol := header.IPv4ProtocolNumber
	if packet[0]>>4 == 6 {
		protocol = header.IPv6ProtocolNumber
	}
	pkt := stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: buffer.MakeWithData(packet)})
	defer pkt.DecRef()
	g.wire.deliver(protocol, pkt)
}

// close cuts every connection and waits for the goroutines that serve them;
// false: some do not end in time. What the stack still holds for late packets
// goes away by itself within seconds.
func (g *guestStack) close() (ended bool) {
	defer g.discard()
	done := make(chan struct{})
	go func() {
		g.attachment.work.Wait()
		close(done)
	}()
	timeout := time.NewTimer(closeTime)
	defer timeout.Stop()
	ticker := time.NewTicker(abortTick)
	defer ticker.Stop()
	for {
		for _, endpoint := range g.stack.RegisteredEndpoints() { // new ones may come until all handlers know of the end
			endpoint.Abort()
		}
		select {
		case <-done:
			return true
		case <-ticker.C:
		case <-timeout.C:
			return false
		}
	}
}

// discard frees a stack without connections.
func (g *guestStack) discard() {
	g.stack.Close()
	_ = g.stack.RemoveNIC(nic) // there is one
}

// isSYN reports whether pkt opens a connection.
func isSYN(pkt *stack.PacketBuffer) bool {
	h := header.TCP(pkt.TransportHeader().Slice())
	return len(h) >= header.TCPMinimumSize && h.Flags()&(header.TCPFlagSyn|header.TCPFlagAck) == header.TCPFlagSyn
}

// destination is what a sandbox wants to reach.
func destination(id stack.TransportEndpointID) netip.AddrPort {
	ip, _ := netip.AddrFromSlice(id.LocalAddress.AsSlice())
	return netip.AddrPortFrom(ip, id.LocalPort)
}

func asError(err tcpip.Error) error {
	if err == nil {
		return nil
	}
	return errors.New(err.String())
}

// wire is the link layer of a stack: a device on which packets are whole.
type wire struct {
	device     *link.Device
	dispatcher stack.NetworkDispatcher
}

// deliver takes a packet to the stack.
func (w *wire) deliver(protocol tcpip.NetworkProtocolNumber, pkt *stack.PacketBuffer) {
	w.dispatcher.DeliverNetworkPacket(protocol, pkt)
}

// WritePackets implements [stack.LinkWriter].
func (w *wire) WritePackets(list stack.PacketBufferList) (int, tcpip.Error) {
	sent := 0
	for _, pkt := range list.AsSlice() {
		if w.device.Send(pkt.AsSlices()) == nil { // what is lost is sent again
			sent++
		}
	}
	return sent, nil
}

// The rest is what [stack.LinkEndpoint] asks of a wire that has no addresses
// and no headers. Nobody forges packets in this process's memory, so received
// ones are not checked for that.

// MTU is the size of the largest packet.
func (*wire) MTU() uint32 { return link.MTU }

// SetMTU changes nothing.
func (*wire) SetMTU(uint32) {}

// MaxHeaderLength is none.
func (*wire) MaxHeaderLength() uint16 { return 0 }

// LinkAddress is none.
func (*wire) LinkAddress() tcpip.LinkAddress { return "" }

// SetLinkAddress changes nothing.
func (*wire) SetLinkAddress(tcpip.LinkAddress) {}

// Capabilities spares the stack a sum over what came through memory.
func (*wire) Capabilities() stack.LinkEndpointCapabilities { return stack.CapabilityRXChecksumOffload }

// Attach keeps the way into the stack, before there are packets.
func (w *wire) Attach(d stack.NetworkDispatcher) {
	if d != nil {
		w.dispatcher = d
	}
}

// IsAttached reports whether Attach was called.
func (w *wire) IsAttached() bool { return w.dispatcher != nil }

// Wait waits for nothing.
func (*wire) Wait() {}

// ARPHardwareType is that of a wire without addresses.
func (*wire) ARPHardwareType() header.ARPHardwareType { return header.ARPHardwareNone }

// AddHeader adds none.
func (*wire) AddHeader(*stack.PacketBuffer) {}

// ParseHeader finds none.
func (*wire) ParseHeader(*stack.PacketBuffer) bool { return true }

// Close closes nothing: the device is the attachment's.
func (*wire) Close() {}

// SetOnCloseAction takes none.
func (*wire) SetOnCloseAction(func()) {}
