package inner

import (
	"encoding/binary"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// conn is an rtnetlink(7) socket in the network namespace of the calling thread.
type conn struct {
	fd int
	in [4096]byte
}

// within runs f with a conn.
func within(f func(*conn) error) error {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("open a netlink socket: %w", err)
	}
	defer unix.Close(fd) //nolint:errcheck // every message was answered
	return f(&conn{fd: fd})
}

// send sends a message and waits for the kernel's acknowledgement.
func (c *conn) send(kind, flags int, body attributes) error {
	order := binary.NativeEndian
	msg := make([]byte, 0, unix.NLMSG_HDRLEN+len(body))
	msg = order.AppendUint32(msg, uint32(unix.NLMSG_HDRLEN+len(body))) //nolint:gosec // a few hundred
	msg = order.AppendUint16(msg, uint16(kind))                        //nolint:gosec // a small constant
	msg = order.AppendUint16(msg, uint16(flags)|unix.NLM_F_REQUEST|unix.NLM_F_ACK)
	msg = append(msg, make([]byte, 8)...) // sequence number and port are 0: only one message is in progress
	msg = append(msg, body...)
	if err := unix.Sendto(c.fd, msg, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return fmt.Errorf("send a netlink message: %w", err)
	}
	n, _, err := unix.Recvfrom(c.fd, c.in[:], 0)
	switch {
	case err != nil:
		return fmt.Errorf("receive a netlink message: %w", err)
	case n < unix.NLMSG_HDRLEN+4 || order.Uint16(c.in[4:]) != unix.NLMSG_ERROR:
		return errors.New("the netlink answer is malformed")
	}
	if code := int32(order.Uint32(c.in[unix.NLMSG_HDRLEN:])); code != 0 { //nolint:gosec // a negative errno
		return unix.Errno(-code)
	}
	return nil
}

// up brings a device up.
func (c *conn) up(name string) error {
	at, err := index(name)
	if err != nil {
		return err
	}
	if err := c.send(unix.RTM_NEWLINK, 0, message(0).infomsg(at, unix.IFF_UP, unix.IFF_UP)); err != nil {
		return fmt.Errorf("bring %s up: %w", name, err)
	}
	return nil
}

// address gives a device an address that is usable at once and does not expire.
func (c *conn) address(at, family int, address []byte, bits byte) error {
	flags := 0
	if family == unix.AF_INET6 {
		flags = unix.IFA_F_NODAD
	}
	body := append(message(8), 0)[:8]
	body[0], body[1], body[2] = byte(family), bits, byte(flags)
	binary.NativeEndian.PutUint32(body[4:], uint32(at)) //nolint:gosec // a small number
	if err := c.send(unix.RTM_NEWADDR, unix.NLM_F_CREATE, body.bytes(unix.IFA_LOCAL, address).bytes(unix.IFA_ADDRESS, address)); err != nil {
		return fmt.Errorf("set the address of the device: %w", err)
	}
	return nil
}

// defaultRoute routes all addresses to a device.
func (c *conn) defaultRoute(at, family int) error {
	body := append(message(12), 0)[:12]
	body[0], body[4], body[5], body[6], body[7] = byte(family), unix.RT_TABLE_MAIN, unix.RTPROT_STATIC, unix.RT_SCOPE_LINK, unix.RTN_UNICAST
	if err := c.send(unix.RTM_NEWROUTE, unix.NLM_F_CREATE, body.uint32(unix.RTA_OIF, uint32(at))); err != nil { //nolint:gosec // a small number
		return fmt.Errorf("set the default route: %w", err)
	}
	return nil
}

// attributes is the body of a message: a fixed part, then attributes, each padded to
// four bytes.
type attributes []byte

func message(room int) attributes { return make(attributes, 0, max(room, 64)) }

// infomsg appends the fixed part of a message about a device.
func (a attributes) infomsg(at int, flags, change uint32) attributes {
	order := binary.NativeEndian
	a = append(a, 0, 0, 0, 0)             // family, padding, type
	a = order.AppendUint32(a, uint32(at)) //nolint:gosec // a small number
	a = order.AppendUint32(a, flags)      //
	return order.AppendUint32(a, change)  //
}

func (a attributes) bytes(kind int, value []byte) attributes {
	a = binary.NativeEndian.AppendUint16(a, uint16(4+len(value))) //nolint:gosec // a few hundred
	a = binary.NativeEndian.AppendUint16(a, uint16(kind))         //nolint:gosec // a small constant
	a = append(a, value...)
	for len(a)%4 != 0 {
		a = append(a, 0)
	}
	return a
}

func (a attributes) attr(kind int, nested attributes) attributes { return a.bytes(kind, nested) }
func (a attributes) text(kind int, s string) attributes          { return a.bytes(kind, append([]byte(s), 0)) }
func (a attributes) uint32(kind int, n uint32) attributes {
	return a.bytes(kind, binary.NativeEndian.AppendUint32(nil, n))
}

// BigEndian returns n in network byte order, which the kernel expects for some numbers.
func BigEndian(n uint16) uint16 {
	var b [2]byte
	binary.BigEndian.PutUint16(b[:], n)
	return binary.NativeEndian.Uint16(b[:])
}
