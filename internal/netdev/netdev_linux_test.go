package netdev_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/lateen-dev/lateen/internal/netdev"
	"github.com/lateen-dev/lateen/internal/netdev/inner"
)

const (
	guestName    = "link-guest"    // argv[0] of a process in a network namespace of its own
	loopbackName = "link-loopback" // the same without a device
)

func TestMain(m *testing.M) {
	roles := map[string]func() error{guestName: guest, loopbackName: loopbackAlone}
	role, ok := roles[os.Args[0]]
	if !ok {
		os.Exit(m.Run())
	}
	if err := role(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// alone runs a role in namespaces of its own; with plain, as an unprivileged user
// outside of them.
func alone(t *testing.T, role string, plain bool) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe")
	cmd.Args = []string{role}
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET}
	if uid, gid := os.Getuid(), os.Getgid(); plain {
		if uid == 0 {
			uid, gid = 65534, 65534
			cmd.SysProcAttr.Credential = &syscall.Credential{}
		}
		cmd.SysProcAttr.Cloneflags |= unix.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: uid, Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: gid, Size: 1}}
	}
	said, err := cmd.CombinedOutput()
	if refused := new(os.PathError); errors.As(err, &refused) {
		t.Skipf("this host permits no network namespace: %v", err)
	}
	if err != nil {
		t.Errorf("%v: %s", err, said)
	}
}

func TestTheDeviceCarriesPacketsBothWaysAndIsQuiet(t *testing.T) {
	t.Run("root", func(t *testing.T) {
		if os.Getuid() != 0 {
			t.Skip("not root")
		}
		alone(t, guestName, false)
	})
	t.Run("plain", func(t *testing.T) { alone(t, guestName, true) })
}

func TestLoopbackAloneLeadsNowhere(t *testing.T) { alone(t, loopbackName, true) }

// lender lends a new buffer each time.
type lender struct{}

func (lender) Get() *netdev.Buffer { return new(netdev.Buffer) }
func (lender) Put(*netdev.Buffer)  {}

// guest opens the device and sends packets to itself through it.
func guest() error {
	file, err := inner.Open()
	if err != nil {
		return err
	}
	if err := configured(); err != nil {
		return err
	}
	device, err := netdev.New(file, lender{})
	if err != nil {
		return err
	}
	packets := make(chan []byte, 10)
	ended := make(chan error, 1)
	go func() { ended <- device.Receive(func(p []byte) { packets <- slices.Clone(p) }) }()
	select {
	case p := <-packets:
		return fmt.Errorf("a packet came unasked for: %x", p)
	case <-time.After(300 * time.Millisecond):
	}
	for _, to := range []string{"203.0.113.7:9", "[2001:db8::7]:9"} {
		if err := converse(device, packets, to); err != nil {
			return fmt.Errorf("%s: %w", to, err)
		}
	}
	if err := device.Close(); err != nil {
		return err
	}
	if <-ended == nil {
		return errors.New("receiving ended without an error")
	}
	return nil
}

// converse sends a datagram and sends it back through the device with its addresses
// swapped.
func converse(device *netdev.Device, packets <-chan []byte, to string) error {
	c, err := net.DialTimeout("udp", to, time.Minute)
	if err != nil {
		return err
	}
	defer c.Close()
	if _, err := c.Write([]byte("hello")); err != nil {
		return err
	}
	var p []byte
	select {
	case p = <-packets:
	case <-time.After(time.Minute):
		return errors.New("no packet arrived")
	}
	addresses, datagram := p[12:20], p[20:]
	if p[0]>>4 == 6 {
		addresses, datagram = p[8:40], p[40:]
	}
	swap(addresses)
	swap(datagram[:4])
	sum(addresses, datagram)
	if err := device.Send([][]byte{p[:15], p[15:]}); err != nil {
		return err
	}
	if err := c.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		return err
	}
	back := make([]byte, 10)
	n, err := c.Read(back)
	if err != nil || string(back[:n]) != "hello" {
		return fmt.Errorf("%q came back, %w", back[:n], err)
	}
	return nil
}

// swap exchanges the halves of b.
func swap(b []byte) {
	half := slices.Clone(b[:len(b)/2])
	copy(b, b[len(b)/2:])
	copy(b[len(b)/2:], half)
}

// sum sets the checksum of a UDP datagram (RFC 768, RFC 8200 §8.1).
func sum(addresses, datagram []byte) {
	field := datagram[6:8]
	field[0], field[1] = 0, 0
	all := uint32(len(datagram)) + unix.IPPROTO_UDP
	for _, part := range [][]byte{addresses, datagram} {
		for i, b := range part {
			all += uint32(b) << (8 * (1 - i%2))
		}
	}
	for all > 0xffff {
		all = all>>16 + all&0xffff
	}
	binary.BigEndian.PutUint16(field, ^uint16(all))
}

// configured checks the settings of the device.
func configured() error {
	device, err := net.InterfaceByName(inner.Name)
	if err != nil {
		return err
	}
	if device.MTU != netdev.MTU || device.Flags&net.FlagUp == 0 {
		return fmt.Errorf("the device is %+v", device)
	}
	addresses, err := device.Addrs()
	if err != nil {
		return err
	}
	var list []netip.Prefix
	for _, a := range addresses {
		list = append(list, netip.MustParsePrefix(a.String()))
	}
	if !slices.Equal(list, []netip.Prefix{netdev.Guest, netdev.Guest6}) {
		return fmt.Errorf("the addresses are %v", list)
	}
	return nil
}

func loopbackAlone() error {
	if err := inner.Loopback(); err != nil {
		return err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer l.Close()
	c, err := net.DialTimeout("tcp", l.Addr().String(), time.Minute)
	if err != nil {
		return err
	}
	c.Close()
	if _, err := net.DialTimeout("tcp", "203.0.113.7:9", time.Minute); !errors.Is(err, unix.ENETUNREACH) {
		return fmt.Errorf("outside of it: %w", err)
	}
	return nil
}
