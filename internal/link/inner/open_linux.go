package inner

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

const (
	far = "gate0" // the far end of a pair, where the packets are picked up

	ipv6AddrGenModeNone = 1 // IN6_ADDR_GEN_MODE_NONE of if_link.h
	inet6AddrGenMode    = 8 // IFLA_INET6_ADDR_GEN_MODE
	vethPeer            = 1 // VETH_INFO_PEER of veth.h
)

// Open makes the device in the network namespace of the calling thread, which
// must be its alone and in which it may administer the network, configures it
// and brings it up. The descriptor, not blocking, yields the packets that
// programs in the namespace send, and takes those meant for them. It keeps the
// namespace alive.
//
// Where the host does not let /dev/net/tun be opened, a pair of devices stands
// in with a packet socket at its far end.
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
		return nil, fmt.Errorf("make a network device: %w", err)
	}
	if err := configure(); err != nil {
		file.Close()
		return nil, fmt.Errorf("configure the network device: %w", err)
	}
	return file, nil
}

// Loopback brings up the loopback device alone: a network that reaches nothing.
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
		return nil, fmt.Errorf("make a tun device: %w", err)
	}
	return os.NewFile(uintptr(fd), "/dev/net/tun"), nil // not sooner: the poller can wait for a device only
}

// openPair makes a pair of devices, and a socket that sees what arrives at the
// far one.
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
		return nil, fmt.Errorf("make a pair of devices: %w", err)
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

// configure gives the device its addresses and routes. A host without IPv6
// gets none.
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

// bring brings one of our devices up. IPv6 is kept from making addresses of
// its own and from asking around for routers, if there is an IPv6.
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

// index returns the number of the device called name.
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
