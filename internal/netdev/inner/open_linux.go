package inner

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

const (
	far = "gate0" // name of the host end of a pair, from which the packets are read

	ipv6AddrGenModeNone = 1 // IN6_ADDR_GEN_MODE_NONE of if_link.h
	inet6AddrGenMode    = 8 // IFLA_INET6_ADDR_GEN_MODE
	vethPeer            = 1 // VETH_INFO_PEER of veth.h
)

// Open creates the network device in the network namespace of the calling thread,
// configures it and brings it up. The namespace must be the thread's own, with the
// right to administer it. The non-blocking descriptor reads the packets that programs
// in the namespace send, and writes packets to them. It keeps the namespace alive.
//
// Where /dev/net/tun cannot be opened, Open creates a veth pair and a packet socket at
// its host end.
func Open() (*os.File, error) {
	file, err := openTun()
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, os.ErrPermission) || errors.Is(err, unix.ENODEV) || errors.Is(err, unix.ENXIO) {
		var other error
		if file, other = openPair(); other != nil {
			err = errors.Join(err, other)
		} else {
			err = nil
		}
	}
	if err != nil {
		return nil, fmt.Errorf("create a network device: %w", err)
	}
	if err := configure(); err != nil {
		file.Close()
		return nil, fmt.Errorf("configure the network device: %w", err)
	}
	return file, nil
}

// Loopback brings up only the loopback device.
func Loopback() error {
	return within(func(c *conn) error { return c.up("lo") })
}

func openTun() (*os.File, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: "/dev/net/tun", Err: err}
	}
	req, err := unix.NewIfreq(Name)
	if err == nil {
		req.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
		err = unix.IoctlIfreq(fd, unix.TUNSETIFF, req)
	}
	if err != nil {
		_ = unix.Close(fd) // nothing was written
		return nil, fmt.Errorf("create a tun device: %w", err)
	}
	return os.NewFile(uintptr(fd), "/dev/net/tun"), nil // after TUNSETIFF: the poller cannot wait for a descriptor without a device
}

// openPair creates a veth pair, and a socket that reads the packets at its host end.
func openPair() (*os.File, error) {
	err := within(func(c *conn) error {
		peer := message(0).infomsg(0, 0, 0).text(unix.IFLA_IFNAME, far).uint32(unix.IFLA_MTU, MTU)
		info := message(0).text(unix.IFLA_INFO_KIND, "veth").
			attr(unix.IFLA_INFO_DATA, message(0).attr(vethPeer, peer))
		err := c.send(unix.RTM_NEWLINK, unix.NLM_F_CREATE|unix.NLM_F_EXCL, message(0).infomsg(0, 0, 0).
			text(unix.IFLA_IFNAME, Name).bytes(unix.IFLA_ADDRESS, []byte(Hardware)).attr(unix.IFLA_LINKINFO, info))
		if err == nil {
			err = c.bring(far)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("create a veth pair: %w", err)
	}
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open a packet socket: %w", err)
	}
	file := os.NewFile(uintptr(fd), "packet socket")
	at, err := index(far)
	if err == nil {
		err = errors.Join(
			unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1),
			unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: BigEndian(unix.ETH_P_ALL), Ifindex: at}),
		)
	}
	if err != nil {
		file.Close()
		return nil, fmt.Errorf("bind a packet socket: %w", err)
	}
	return file, nil
}

// configure gives the device its addresses and routes, without those of IPv6 on a host
// without IPv6.
func configure() error {
	guest, guest6 := Guest(), Guest6()
	return within(func(c *conn) error {
		at, err := index(Name)
		if err != nil {
			return err
		}
		err = errors.Join(c.up("lo"), c.bring(Name), c.address(at, unix.AF_INET, guest[:], GuestBits), c.defaultRoute(at, unix.AF_INET))
		if err == nil && c.address(at, unix.AF_INET6, guest6[:], Guest6Bits) == nil {
			err = c.defaultRoute(at, unix.AF_INET6)
		}
		return err
	})
}

// bring brings up a device of this package. With IPv6, it disables generated addresses
// and router solicitations on the device first.
func (c *conn) bring(name string) error {
	at, err := index(name)
	if err != nil {
		return err
	}
	quiet := message(0).attr(unix.AF_INET6, message(0).bytes(inet6AddrGenMode, []byte{ipv6AddrGenModeNone}))
	_ = c.send(unix.RTM_NEWLINK, 0, message(0).infomsg(at, 0, 0).attr(unix.IFLA_AF_SPEC, quiet))
	const flags = unix.IFF_UP | unix.IFF_NOARP
	if err := c.send(unix.RTM_NEWLINK, 0, message(0).infomsg(at, flags, flags).uint32(unix.IFLA_MTU, MTU)); err != nil {
		return fmt.Errorf("bring %s up: %w", name, err)
	}
	return nil
}

// index returns the index of the device called name.
func index(name string) (int, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, fmt.Errorf("open a socket: %w", err)
	}
	defer unix.Close(fd) //nolint:errcheck // nothing was written
	req, err := unix.NewIfreq(name)
	if err == nil {
		err = unix.IoctlIfreq(fd, unix.SIOCGIFINDEX, req)
	}
	if err != nil {
		return 0, fmt.Errorf("find the device %s: %w", name, err)
	}
	return int(req.Uint32()), nil
}
