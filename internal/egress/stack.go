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

	"github.com/lateen-dev/lateen/internal/netdev"
)

const (
	nic = 1

	// Maximum and minimum of the unread or unsent bytes of a connection in each
	// direction. The first connections of an attachment have the maximum, later ones
	// a share of the bytes left in [Attachment.extra].
	maxBytes = 512 << 10
	minBytes = 8 << 10
	// memoryFactor is the maximum memory of a connection in relation to its buffer
	// size: unread bytes with the stack's overhead fill one buffer, the last packet
	// may exceed it by half of one, unsent bytes fill one, and their overhead takes
	// half of one. See [guest.offer].
	memoryFactor = 3
	// streamBytes is the memory of a connection besides its buffers, flowBytes that of
	// a flow: goroutines, timers, the records of the stack and of the runtime.
	streamBytes = 24 << 10
	flowBytes   = 8 << 10
	// extraShare is the divisor of the bytes left that gives the part of one
	// connection.
	extraShare = 8

	timeWait  = 2 * time.Second // old packets do not arrive later: the wire is a queue in memory
	abortTick = 10 * time.Millisecond
)

// guestStack is the TCP/IP stack that receives a sandbox's packets.
type guestStack struct {
	attachment *Attachment
	stack      *stack.Stack
	wire       *wire

	mu    sync.Mutex // guards the fields below
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
		if isSYN(pkt) && !a.opens.Allow() {
			return true // the sandbox sends it again later
		}
		return streams.HandlePacket(id, pkt)
	})
	s.SetTransportProtocolHandler(udp.ProtocolNumber, g.receiveDatagram)
	return g, nil
}

// configure makes the stack accept packets for every address.
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

// deliver passes a packet from the sandbox to the stack.
func (g *guestStack) deliver(packet []byte) {
	protocol := header.IPv4ProtocolNumber
	if packet[0]>>4 == 6 {
		protocol = header.IPv6ProtocolNumber
	}
	pkt := stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: buffer.MakeWithData(packet)})
	defer pkt.DecRef()
	g.wire.deliver(protocol, pkt)
}

// close aborts every connection and waits for their goroutines; it returns false if
// some do not end in time. The stack itself drops its remaining state for late
// packets within seconds.
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
		for _, endpoint := range g.stack.RegisteredEndpoints() { // new ones may appear until all handlers have seen the end
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
	_ = g.stack.RemoveNIC(nic) // the interface exists
}

// isSYN reports whether pkt opens a connection.
func isSYN(pkt *stack.PacketBuffer) bool {
	h := header.TCP(pkt.TransportHeader().Slice())
	return len(h) >= header.TCPMinimumSize && h.Flags()&(header.TCPFlagSyn|header.TCPFlagAck) == header.TCPFlagSyn
}

// destination is the address that a sandbox wants to reach.
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

// wire is the link layer of a stack: a device that carries whole packets.
type wire struct {
	device     *netdev.Device
	dispatcher stack.NetworkDispatcher
}

// deliver passes a packet to the stack.
func (w *wire) deliver(protocol tcpip.NetworkProtocolNumber, pkt *stack.PacketBuffer) {
	w.dispatcher.DeliverNetworkPacket(protocol, pkt)
}

// WritePackets implements [stack.LinkWriter].
func (w *wire) WritePackets(list stack.PacketBufferList) (int, tcpip.Error) {
	sent := 0
	for _, pkt := range list.AsSlice() {
		if w.device.Send(pkt.AsSlices()) == nil { // TCP sends lost packets again
			sent++
		}
	}
	return sent, nil
}

// The remaining methods implement [stack.LinkEndpoint] for a wire without addresses
// and headers. No other program can forge packets in this process's memory, so
// received packets are not checked for forgery.

// MTU is the size of the largest packet.
func (*wire) MTU() uint32 { return netdev.MTU }

// SetMTU has no effect.
func (*wire) SetMTU(uint32) {}

// MaxHeaderLength is 0.
func (*wire) MaxHeaderLength() uint16 { return 0 }

// LinkAddress is empty.
func (*wire) LinkAddress() tcpip.LinkAddress { return "" }

// SetLinkAddress has no effect.
func (*wire) SetLinkAddress(tcpip.LinkAddress) {}

// Capabilities disables the stack's checksum verification: memory does not corrupt
// packets.
func (*wire) Capabilities() stack.LinkEndpointCapabilities { return stack.CapabilityRXChecksumOffload }

// Attach sets the dispatcher before the first packet.
func (w *wire) Attach(d stack.NetworkDispatcher) {
	if d != nil {
		w.dispatcher = d
	}
}

// IsAttached reports whether Attach was called.
func (w *wire) IsAttached() bool { return w.dispatcher != nil }

// Wait returns at once.
func (*wire) Wait() {}

// ARPHardwareType is the type of a wire without addresses.
func (*wire) ARPHardwareType() header.ARPHardwareType { return header.ARPHardwareNone }

// AddHeader adds no header.
func (*wire) AddHeader(*stack.PacketBuffer) {}

// ParseHeader finds no header.
func (*wire) ParseHeader(*stack.PacketBuffer) bool { return true }

// Close has no effect: the attachment owns the device.
func (*wire) Close() {}

// SetOnCloseAction has no effect.
func (*wire) SetOnCloseAction(func()) {}
