package egress

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/dns/dnsmessage"
	"golang.org/x/sys/unix"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/netdev"
)

func TestTheEgressPolicyPermitsPublicAndAllowedAddresses(t *testing.T) {
	at := netip.MustParseAddrPort
	p := &policy{
		allow: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")},
	}
	p.add([]netip.AddrPort{at("0.0.0.0:8080"), at("127.0.0.1:5432"), at("10.1.1.1:9000"), at("[::1]:9001"), at("0.0.0.0:443")}, false)
	p.add([]netip.AddrPort{at("[::]:8443"), at("127.0.0.1:443"), at("[::1]:9002"), at("[2a01::8]:9003")}, true)
	p.isLocal(netip.MustParseAddr("192.0.2.1")) // reads the host's addresses
	p.local = map[netip.Addr]bool{netip.MustParseAddr("10.1.1.1"): true, netip.MustParseAddr("5.6.7.8"): true, netip.MustParseAddr("2a01::8"): true, netip.MustParseAddr("fd01::1"): true}
	p.at = p.at.AddDate(1, 0, 0) // prevents another read
	platform := map[string]bool{"198.18.0.1:8443": true, "[2a01::8]:8443": true, "198.18.0.1:443": true, "127.0.0.1:443": true, "198.18.0.1:80": true, "127.0.0.1:80": true}
	for to, want := range map[string]string{
		"1.1.1.1:443": "1.1.1.1:443", "[2606:4700::1111]:443": "[2606:4700::1111]:443", "[::ffff:1.1.1.1]:80": "1.1.1.1:80",
		"10.2.3.4:5432": "10.2.3.4:5432", "[fd12::1]:80": "[fd12::1]:80",
		"198.18.0.1:8080": "127.0.0.1:8080", "198.18.0.1:8443": "127.0.0.1:8443", "198.18.0.1:5432": "127.0.0.1:5432", "198.18.0.1:9000": "10.1.1.1:9000",
		"[fd6c:6174:6565:6e::1]:8080": "127.0.0.1:8080", "5.6.7.8:8080": "5.6.7.8:8080", "[2a01::8]:8443": "127.0.0.1:8443", "10.1.1.1:8080": "10.1.1.1:8080", "198.18.0.1:9001": "[::1]:9001",
		// The platform answers at both ports of HTTP.
		"198.18.0.1:80": "127.0.0.1:443", "127.0.0.1:80": "127.0.0.1:443",

		"198.18.0.1:443": "127.0.0.1:443", "5.6.7.8:443": "5.6.7.8:443", "127.0.0.1:443": "127.0.0.1:443",
		"10.1.1.1:9000": "10.1.1.1:9000", "[::ffff:10.1.1.1]:9000": "10.1.1.1:9000",

		// A service that listens on one address is permitted at that address only.
		"5.6.7.8:9000": "", "10.1.1.1:5432": "", "5.6.7.8:5432": "", "[2a01::8]:5432": "", "[64:ff9b::506:708]:9000": "", "10.1.1.1:9001": "",

		"198.18.0.1:9002": "", "[2a01::8]:9003": "",
		"198.18.0.1:22": "", "[fd6c:6174:6565:6e::1]:22": "", "198.18.0.2:80": "",
		"5.6.7.8:22": "", "[::ffff:5.6.7.8]:22": "", "[64:ff9b::506:708]:22": "", "[2002:506:708::1]:22": "", "[2a01::8]:22": "", "10.1.1.1:22": "", "[fd01::1]:22": "",
		"127.0.0.1:22": "", "127.8.8.8:22": "", "[::1]:22": "", "0.0.0.0:22": "", "[::]:22": "",
		"192.168.1.1:80": "", "172.20.0.1:80": "", "169.254.169.254:80": "", "100.100.100.200:80": "", "224.0.0.251:5353": "", "255.255.255.255:67": "",
		"[fe80::1]:80": "", "[fc00::1]:80": "", "[ff02::1]:80": "", "[64:ff9b::c0a8:101]:80": "", "[2002:c0a8:101::]:80": "", "[::ffff:169.254.169.254]:80": "",
	} {
		dial, why := p.check(at(to))
		if got := dial.to; want == "" && (why == "" || got.IsValid()) || want != "" && (why != "" || got != at(want)) {
			t.Errorf("%s leads to %s (%s), want %q", to, got, why, want)
		}
		if dial.platform != platform[to] {
			t.Errorf("%s is a service of the platform: %v", to, dial.platform)
		}
	}
}

func TestTheHostsOwnAddressesAreKnown(t *testing.T) {
	p := new(policy)
	for _, own := range []string{"127.0.0.1", "::1", "0.0.0.0", "::", "127.1.2.3", "64:ff9b::7f00:1", "2002:7f00:1::9"} {
		if !p.isLocal(netip.MustParseAddr(own)) {
			t.Errorf("%s is not an address of this host", own)
		}
	}
	if p.isLocal(netip.MustParseAddr("1.1.1.1")) {
		t.Error("1.1.1.1 is an address of this host")
	}
}

func TestNameserversAreReadAsTheResolverDoes(t *testing.T) {
	at := netip.MustParseAddrPort
	text := "# comment\nsearch example.com\nnameserver 10.0.0.2\n  nameserver\tfe80::1%eth0  \nnameserver nonsense\noptions ndots:2\nnameserver"
	if diff := cmp.Diff([]netip.AddrPort{at("10.0.0.2:53"), at("[fe80::1%eth0]:53")}, nameservers(text), cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })); diff != "" {
		t.Error(diff)
	}
	if list := nameservers(""); len(list) != 1 || list[0] != at("127.0.0.1:53") {
		t.Errorf("without any: %v", list)
	}
}

func TestTheRecordOfOutboundConnectionsIsBounded(t *testing.T) {
	var l ledger
	for i := range 3 * maxNames {
		ip := netip.AddrFrom4([4]byte{1, 2, byte(i >> 8), byte(i)})
		l.learn(ip, fmt.Sprintf("Host%d.example.", i))
		l.count(l.hostOf(ip))
		l.count("again")
	}
	if len(l.names) != maxNames || len(l.order) != maxNames || len(l.hosts) > maxHosts+1 {
		t.Errorf("%d names, %d in order, %d hosts", len(l.names), len(l.order), len(l.hosts))
	}
	u := l.usage()
	if u.Outbound[0] != (lateen.Outbound{Host: "again", Count: 3 * maxNames}) {
		t.Errorf("the most is %v", u.Outbound[0])
	}
	total := 0
	for _, o := range u.Outbound {
		total += o.Count
	}
	if total != 6*maxNames {
		t.Errorf("%d were counted, want %d", total, 6*maxNames)
	}
	forged := netip.MustParseAddr("9.9.9.9")
	l.learn(forged, "a\nb.example.")
	if got := l.hostOf(forged); got != "9.9.9.9" {
		t.Errorf("an invalid name is %q", got)
	}
	if got := l.hostOf(netip.MustParseAddr("::ffff:1.2.5.255")); got != "host1535.example" {
		t.Errorf("the last is %s", got)
	}
}

// harness returns an attachment whose device is one end of a socket pair, and the
// other end.
func harness(t testing.TB, o Options) (*Attachment, *os.File) {
	t.Helper()
	o.Resolvers = []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:9")}
	return attached(t, New(o))
}

// attached is like harness, for an existing network.
func attached(t testing.TB, n *Network) (*Attachment, *os.File) {
	t.Helper()
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET, 0)
	if err == nil {
		err = errors.Join(unix.SetNonblock(pair[0], true), unix.SetNonblock(pair[1], true))
	}
	if err != nil {
		t.Fatal(err)
	}
	far := os.NewFile(uintptr(pair[1]), "far")
	t.Cleanup(func() { far.Close() })
	a, err := n.Attach(t.Context(), os.NewFile(uintptr(pair[0]), "near"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close() })
	return a, far
}

func TestABrokenDeviceEndsTheAttachment(t *testing.T) {
	a, far := harness(t, Options{})
	far.Close()
	<-a.ended
}

func TestAnIdleStackIsDiscardedAndCreatedAgain(t *testing.T) {
	a, far := harness(t, Options{StackIdle: 100 * time.Millisecond})
	for range 3 {
		answer := make([]byte, 100)
		for n := 0; n == 0; { // repeat if the answer took longer than StackIdle
			if _, err := far.Write(syn()); err != nil {
				t.Fatal(err)
			}
			_ = far.SetReadDeadline(time.Now().Add(time.Second))
			n, _ = far.Read(answer)
		}
		if answer[33]&4 == 0 {
			t.Fatalf("got %x, want a reset", answer)
		}
		for resting := false; !resting; runtime.Gosched() {
			a.delivering.Lock()
			resting = a.stack == nil
			a.delivering.Unlock()
		}
	}
}

// syn is a packet that opens a connection to a closed port.
func syn() []byte {
	return []byte("\x45\x00\x00\x28\x00\x01\x40\x00\x40\x06\x00\x00\xc6\x12\x00\x02\xc6\x12\x00\x01\x30\x39\x00\x50\x00\x00\x00\x00\x00\x00\x00\x00\x50\x02\xff\xff\x00\x00\x00\x00")
}

func TestAnEndedContextEndsTheAttachment(t *testing.T) {
	a, _ := harness(t, Options{})
	a.end()
	<-a.ended
	if err := a.Close(); err != nil {
		t.Error(err)
	}
}

// FuzzPackets checks that no packet of a sandbox breaks the stack. All connections
// are refused, so that no packet leaves the process.
func FuzzPackets(f *testing.F) {
	query := []byte("\x45\x00\x00\x31\x00\x01\x00\x00\x40\x11\x00\x00\xc6\x12\x00\x02\xc6\x12\x00\x01\x30\x39\x00\x35\x00\x1d\x00\x00\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x01a\x01b\x00\x00\x01\x00\x01")
	six := append([]byte("\x60\x00\x00\x00\x00\x14\x06\x40"), make([]byte, 32)...)
	for _, seed := range [][]byte{syn(), query, append(six, syn()[20:]...), append([]byte("\x60\x00\x00\x00\x00\x08\x2c\x40"), make([]byte, 60)...), []byte("\x46"), {}} {
		f.Add(seed, seed)
	}
	a, far := harness(f, Options{})
	go func() { // reads the stack's packets
		b := make([]byte, 1<<16)
		for {
			if _, err := far.Read(b); err != nil {
				return
			}
		}
	}()
	f.Fuzz(func(t *testing.T, one, two []byte) {
		for _, packet := range [][]byte{one, two} {
			if len(packet) > netdev.MTU {
				return
			}
			a.receive(packet)
		}
	})
}

// FuzzQueries checks that each query gets a response with its own ID, or none.
func FuzzQueries(f *testing.F) {
	name := dnsmessage.MustNewName("a.localhost.")
	good := dnsmessage.Message{Header: dnsmessage.Header{ID: 7}, Questions: []dnsmessage.Question{{Name: name, Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET}}}
	packed, err := good.Pack()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(packed)
	f.Add([]byte{})
	f.Add([]byte{1, 2, 3})
	f.Add(append([]byte(strings.Repeat("\x00", 12)), packed...))
	a, _ := harness(f, Options{})
	f.Fuzz(func(t *testing.T, query []byte) {
		answer := a.answer(t.Context(), "udp", query)
		if len(answer) > 0 && idOf(answer) != idOf(query) {
			t.Errorf("%x is answered %x", query, answer)
		}
		a.learn(query, "name")
	})
}
