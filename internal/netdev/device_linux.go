package netdev

import (
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/lateen-dev/lateen/internal/netdev/inner"
)

// maxBurst is the maximum number of packets read at a time.
const maxBurst = 64

// Device is the host end of a sandbox's network device.
type Device struct {
	file    *os.File
	raw     syscall.RawConn
	buffers Lender
	far     int // index of the device to which a packet socket is bound; 0: a tun device
}

// New returns the device of a descriptor from [inner.Open]. It borrows a buffer only
// while it reads packets.
func New(file *os.File, buffers Lender) (*Device, error) {
	raw, err := file.SyscallConn()
	if err != nil {
		return nil, fmt.Errorf("open the network device: %w", err)
	}
	d := &Device{file: file, raw: raw, buffers: buffers}
	var bound unix.Sockaddr
	err = raw.Control(func(fd uintptr) { bound, _ = unix.Getsockname(int(fd)) }) // after an error it is no socket
	if err != nil {
		return nil, fmt.Errorf("open the network device: %w", err)
	}
	if at, ok := bound.(*unix.SockaddrLinklayer); ok {
		d.far = at.Ifindex
	}
	return d, nil
}

// Receive calls handle for every packet that the sandbox sends, until the device is
// closed or fails. handle must not keep the bytes after it returns.
func (d *Device) Receive(handle func(packet []byte)) error {
	for {
		if err := d.burst(handle); err != nil {
			return err
		}
	}
}

// burst waits for packets and handles those that have arrived.
func (d *Device) burst(handle func(packet []byte)) error {
	var broken error
	err := d.raw.Read(func(fd uintptr) bool {
		buffer := d.buffers.Get()
		defer d.buffers.Put(buffer)
		for some := range maxBurst {
			n, err := unix.Read(int(fd), buffer[:])
			switch {
			case err == nil && n > 0:
				handle(buffer[:n])
			case err == nil && d.far == 0:
				broken = io.EOF
				return true
			case err == nil, errors.Is(err, unix.EINTR): // a frame without a packet
			case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.ENETDOWN): // ENETDOWN is temporary
				return some > 0
			default:
				broken = fmt.Errorf("read from the network device: %w", err)
				return true
			}
		}
		return true // lets Close take effect
	})
	return errors.Join(broken, err)
}

// Send sends a packet, in parts, to the sandbox. If the sandbox's queue is full, the
// packet is lost.
func (d *Device) Send(parts [][]byte) error {
	var failed error
	err := d.raw.Write(func(fd uintptr) bool {
		if d.far == 0 {
			_, failed = unix.Writev(int(fd), parts)
		} else {
			_, failed = unix.SendmsgBuffers(int(fd), parts, nil, d.near(parts[0]), 0)
		}
		return true
	})
	return errors.Join(err, failed)
}

// near returns the link-layer address of the sandbox's end for a packet.
func (d *Device) near(packet []byte) unix.Sockaddr {
	to := &unix.SockaddrLinklayer{Protocol: inner.BigEndian(unix.ETH_P_IP), Ifindex: d.far, Halen: uint8(len(inner.Hardware))}
	if packet[0]>>4 == 6 {
		to.Protocol = inner.BigEndian(unix.ETH_P_IPV6)
	}
	copy(to.Addr[:], inner.Hardware)
	return to
}

// Close ends Receive.
func (d *Device) Close() error { return d.file.Close() }
