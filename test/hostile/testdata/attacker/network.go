//go:build linux

package main

import (
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

func ioctl(fd int, request uint, letter *byte) error {
	_, _, err := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), uintptr(request), uintptr(unsafe.Pointer(letter)))
	if err != 0 {
		return err
	}
	return nil
}

// sockets opens sockets of families and types that functions may not use.
func sockets(r *report, _ []string) {
	for name, s := range map[string][3]int{
		"raw":              {unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_ICMP},
		"raw IPv6":         {unix.AF_INET6, unix.SOCK_RAW, unix.IPPROTO_ICMPV6},
		"packet":           {unix.AF_PACKET, unix.SOCK_RAW, 0x300},
		"packet datagrams": {unix.AF_PACKET, unix.SOCK_DGRAM, 0x300},
		"netlink audit":    {unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_AUDIT},
		"netlink filter":   {unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_NETFILTER},
		"netlink xfrm":     {unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_XFRM},
		"netlink events":   {unix.AF_NETLINK, unix.SOCK_DGRAM, unix.NETLINK_KOBJECT_UEVENT},
		"netlink generic":  {unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_GENERIC},
		"alg":              {unix.AF_ALG, unix.SOCK_SEQPACKET, 0},
		"vsock":            {unix.AF_VSOCK, unix.SOCK_STREAM, 0},
		"xdp":              {unix.AF_XDP, unix.SOCK_RAW, 0},
		"bluetooth":        {unix.AF_BLUETOOTH, unix.SOCK_RAW, 1},
		"key":              {unix.AF_KEY, unix.SOCK_RAW, 2},
		"can":              {unix.AF_CAN, unix.SOCK_RAW, 1},
		"tipc":             {unix.AF_TIPC, unix.SOCK_STREAM, 0},
		"rds":              {unix.AF_RDS, unix.SOCK_SEQPACKET, 0},
		"smc":              {unix.AF_SMC, unix.SOCK_STREAM, 0},
		"sctp":             {unix.AF_INET, unix.SOCK_STREAM, unix.IPPROTO_SCTP},
		"mptcp":            {unix.AF_INET, unix.SOCK_STREAM, 262},
		"dccp":             {unix.AF_INET, unix.SOCK_DCCP, unix.IPPROTO_DCCP},
		"appletalk":        {unix.AF_APPLETALK, unix.SOCK_DGRAM, 0},
		"ax25":             {unix.AF_AX25, unix.SOCK_DGRAM, 0},
		"ipx":              {unix.AF_IPX, unix.SOCK_DGRAM, 0},
		"qrtr":             {unix.AF_QIPCRTR, unix.SOCK_DGRAM, 0},
		"pppox":            {unix.AF_PPPOX, unix.SOCK_STREAM, 0},
		"llc":              {unix.AF_LLC, unix.SOCK_STREAM, 0},
		"kcm":              {unix.AF_KCM, unix.SOCK_SEQPACKET, 0},
	} {
		fd, err := unix.Socket(s[0], s[1], s[2])
		if err == nil {
			unix.Close(fd)
		}
		r.record(name, err)
	}
}

// connect connects to addresses of the form network:address and reads from them.
// An address that begins with @ is abstract.
func connect(r *report, args []string) {
	for _, arg := range args {
		network, address, _ := strings.Cut(arg, ":")
		conn, err := net.DialTimeout(network, address, 20*time.Second)
		if err == nil {
			err = exchange(conn)
		}
		if os.IsTimeout(err) {
			r.set(arg, "timeout")
			continue
		}
		r.record(arg, err)
	}
}

// exchange sends a request and waits for the first byte of a response: a proxy may
// accept a connection before it reaches the server.
func exchange(conn net.Conn) error {
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		return err
	}
	if _, err := conn.Write([]byte("GET / HTTP/1.0\r\n\r\n")); err != nil {
		return err
	}
	_, err := conn.Read(make([]byte, 1))
	return err
}

// listen answers connections to the given address until it is killed, and records
// the addresses of the network interfaces.
func listen(r *report, args []string) {
	l, err := net.Listen("tcp", args[0])
	if err != nil {
		r.record("listening", err)
		return
	}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			conn.Write([]byte("hello"))
			conn.Close()
		}
	}()
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		r.record("listening", err)
	}
	for _, a := range addresses {
		if p, err := netip.ParsePrefix(a.String()); err == nil && !p.Addr().IsLoopback() && !p.Addr().IsLinkLocalUnicast() {
			r.set(p.Addr().String(), "address")
		}
	}
	os.Stdout.WriteString("listening\n")
	<-make(chan struct{})
}

// netlink tries to change the network configuration.
func netlink(r *report, _ []string) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_ROUTE)
	if err != nil {
		r.record("socket", err)
		return
	}
	defer unix.Close(fd)
	request := func(name string, kind uint16, body []byte) {
		header := unix.NlMsghdr{Len: uint32(unix.SizeofNlMsghdr + len(body)), Type: kind, Flags: unix.NLM_F_REQUEST | unix.NLM_F_ACK | unix.NLM_F_CREATE, Seq: 1}
		message := append(append([]byte{}, (*[unix.SizeofNlMsghdr]byte)(unsafe.Pointer(&header))[:]...), body...)
		if err := unix.Sendto(fd, message, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
			r.record(name, err)
			return
		}
		reply := make([]byte, 4096)
		n, _, err := unix.Recvfrom(fd, reply, 0)
		if err != nil || n < unix.SizeofNlMsghdr+4 {
			r.record(name, err)
			return
		}
		if code := *(*int32)(unsafe.Pointer(&reply[unix.SizeofNlMsghdr])); code != 0 {
			r.record(name, unix.Errno(-code))
			return
		}
		r.set(name, "done")
	}
	link := unix.IfInfomsg{Index: 1, Change: unix.IFF_UP} // loopback, down
	request("take loopback down", unix.RTM_NEWLINK, (*[unix.SizeofIfInfomsg]byte)(unsafe.Pointer(&link))[:])
	address := struct {
		unix.IfAddrmsg
		unix.RtAttr
		local [4]byte
	}{
		unix.IfAddrmsg{Family: unix.AF_INET, Prefixlen: 32, Index: 1}, unix.RtAttr{Len: 8, Type: unix.IFA_LOCAL}, [4]byte{169, 254, 169, 254},
	}
	request("add an address", unix.RTM_NEWADDR, (*[unsafe.Sizeof(address)]byte)(unsafe.Pointer(&address))[:])
	route := struct {
		unix.RtMsg
		unix.RtAttr
		out uint32
	}{
		unix.RtMsg{Family: unix.AF_INET, Table: unix.RT_TABLE_MAIN, Protocol: unix.RTPROT_BOOT, Scope: unix.RT_SCOPE_LINK, Type: unix.RTN_UNICAST},
		unix.RtAttr{Len: 8, Type: unix.RTA_OIF}, 1,
	}
	request("add a route", unix.RTM_NEWROUTE, (*[unsafe.Sizeof(route)]byte)(unsafe.Pointer(&route))[:])
}

// flood opens the given number of connections to an address and holds them, and
// sends datagrams to many addresses.
func flood(r *report, args []string) {
	limit := number(args[1])
	var group sync.WaitGroup
	var made, refused atomic.Int64
	conns := make(chan net.Conn, limit)
	for range 64 {
		group.Go(func() {
			for range limit / 64 {
				conn, err := net.DialTimeout("tcp", args[0], 2*time.Second)
				if err != nil {
					refused.Add(1)
					continue
				}
				if _, err := conn.Read(make([]byte, 1)); err != nil {
					refused.Add(1)
					conn.Close()
					continue
				}
				made.Add(1)
				conns <- conn
			}
		})
	}
	group.Go(func() {
		packets, err := net.ListenPacket("udp", ":0")
		if err != nil {
			r.record("datagrams", err)
			return
		}
		defer packets.Close()
		for n := range 20000 {
			to := netip.AddrPortFrom(netip.AddrFrom4([4]byte{byte(1 + n%220), byte(n), byte(n >> 8), 1}), uint16(1+n))
			if _, err := packets.WriteTo(make([]byte, 1400), net.UDPAddrFromAddrPort(to)); err != nil {
				r.record("datagrams", err)
			}
		}
	})
	group.Wait()
	r.set("made", strconv.FormatInt(made.Load(), 10))
	r.set("refused", strconv.FormatInt(refused.Load(), 10))
}
