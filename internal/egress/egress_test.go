//go:build linux

package egress_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/address"
	"github.com/lateen-dev/lateen/internal/egress"
	"github.com/lateen-dev/lateen/internal/netdev"
)

func addrPort(a net.Addr) netip.AddrPort { return netip.MustParseAddrPort(a.String()) }

// echoAll sends back the received bytes.
func echoAll(c *net.TCPConn) { _, _ = io.Copy(c, c) }

func TestAGuestFetchesAndSendsLargeBodiesWhole(t *testing.T) {
	inBoth(t, func(t *testing.T, plain bool) {
		const size = 32 << 20
		l, network := listen(t, egress.Options{})
		sum := sha256.New()
		if _, err := io.CopyN(sum, &noise{}, size); err != nil {
			t.Fatal(err)
		}
		server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodPost {
				received := sha256.New()
				_, _ = io.Copy(received, r.Body)
				fmt.Fprintf(w, "%x", received.Sum(nil))
				return
			}
			_, _ = io.CopyN(w, &noise{}, size)
		})}
		go func() { _ = server.Serve(l) }()
		t.Cleanup(func() { server.Close() })
		want := fmt.Sprintf("200 %d %x", size, sum.Sum(nil))
		if got := inside(t, network, plain, "get", "http://"+gateway(l)+"/"); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		s := start(t, network, plain, "post", "http://"+gateway(l)+"/", fmt.Sprint(size))
		s.wait(t)
		if u := s.Usage(); u.Sent < size || u.Received == 0 || !cmp.Equal(u.Outbound, []lateen.Outbound{{Host: netdev.Gateway.String(), Count: 1}}) {
			t.Errorf("usage is %+v", u)
		}
	})
}

func TestAHalfClosedStreamIsAnswered(t *testing.T) {
	inBoth(t, func(t *testing.T, plain bool) {
		l, network := listen(t, egress.Options{})
		serve(t, l, func(c *net.TCPConn) {
			question, _ := io.ReadAll(c) // up to the half-close
			fmt.Fprintf(c, "answer to %s", question)
		})
		if got := inside(t, network, plain, "half", gateway(l)); got != "answer to question" {
			t.Errorf("got %q", got)
		}
	})
}

func TestAThousandConcurrentConnectionsAreServed(t *testing.T) {
	inBoth(t, func(t *testing.T, plain bool) {
		l, network := listen(t, egress.Options{})
		serve(t, l, echoAll)
		if got := inside(t, network, plain, "many", gateway(l), "1000"); got != "1000" {
			t.Errorf("got %q", got)
		}
	})
}

func TestNotPublicAddressesAreRefusedAtOnceAndReportedOnce(t *testing.T) {
	inBoth(t, func(t *testing.T, plain bool) {
		l, network := listen(t, egress.Options{Allow: []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")}})
		targets := ownAddresses(t)
		other := egress.New(egress.Options{})
		for _, to := range []string{
			"10.1.2.3:80", "172.16.0.1:443", "192.168.1.1:22", "169.254.169.254:80", "100.64.0.1:80", "168.63.129.16:80", "198.18.0.1:1", "198.18.0.9:80",
			"[fd00:ec2::254]:80", "[64:ff9b::7f00:1]:80", "[64:ff9b::a9fe:a9fe]:80", "[2002:7f00:1::]:80", "[fd6c:6174:6565:6e::1]:22",
		} {
			targets = append(targets, "tcp!"+to, "udp!"+to)
		}
		s := start(t, other, plain, "denied", append(targets, targets...)...)
		s.wait(t)
		reported := map[string]int{}
		for len(s.refusals) > 0 {
			reported[(<-s.refusals).String()]++
		}
		for line, n := range reported {
			if n != 1 || !strings.Contains(line, "--function-") {
				t.Errorf("%d times: %s", n, line)
			}
		}
		if len(reported) == 0 || len(reported) > 32 {
			t.Errorf("%d refusals were reported", len(reported))
		}
		if u := s.Usage(); len(u.Outbound) > 0 {
			t.Errorf("refused connections count: %v", u.Outbound)
		}
		// A permitted network that contains the host does not permit the host.
		inside(t, network, plain, "denied", ownAddresses(t)...)
		_ = l
	})
}

// ownAddresses are the addresses of this host, with a port that is not open to
// guests.
func ownAddresses(t *testing.T) []string {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	serve(t, l, func(c *net.TCPConn) { t.Errorf("%s was reached from %s", c.LocalAddr(), c.RemoteAddr()) })
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, a := range addresses {
		p := netip.MustParsePrefix(a.String())
		if p.Addr().IsLoopback() || p.Addr().IsLinkLocalUnicast() {
			continue // the guest's own addresses
		}
		to := netip.AddrPortFrom(p.Addr(), addrPort(l.Addr()).Port()).String()
		list = append(list, "tcp!"+to, "udp!"+to)
	}
	return list
}

func TestNoConnectionIsPermittedBeforePermit(t *testing.T) {
	l, network := listen(t, egress.Options{})
	serve(t, l, echoAll)
	s := attach(t, network, true, "denied", "tcp!"+gateway(l), "udp!"+gateway(l), "tcp!198.18.0.1:53", "udp!198.18.0.1:53")
	s.begin(t)
	s.wait(t)
	if u := s.Usage(); len(u.Outbound) > 0 {
		t.Errorf("the usage is %v", u.Outbound)
	}
}

func TestThePlatformsServicesRecognizeFunctions(t *testing.T) {
	peers := make(chan netip.Addr, 10)
	tell := func(c *net.TCPConn) {
		peers <- addrPort(c.RemoteAddr()).Addr()
		_, _ = io.Copy(io.Discard, c)
	}
	platform, err := new(net.ListenConfig).Listen(t.Context(), "tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	defer platform.Close()
	serve(t, platform, tell)
	l, network := listen(t, egress.Options{})
	serve(t, l, tell)
	network.Expose(addrPort(platform.Addr()))
	port := fmt.Sprint(addrPort(platform.Addr()).Port())
	targets := []string{gateway(platform)}
	for _, own := range ownAddresses(t) {
		if ip, _, ok := strings.Cut(strings.TrimPrefix(own, "tcp!"), "]:"); ok && strings.HasPrefix(own, "tcp!") {
			targets = append(targets, ip+"]:"+port)
		} else if ip, _, ok := strings.Cut(strings.TrimPrefix(own, "tcp!"), ":"); ok && strings.HasPrefix(own, "tcp!") {
			targets = append(targets, ip+":"+port)
		}
	}
	inside(t, network, true, "visit", targets...)
	for _, to := range targets {
		if peer := <-peers; !address.Functions.Contains(peer.Unmap()) {
			t.Errorf("the platform at %s sees %s", to, peer)
		}
	}
	inside(t, network, true, "visit", gateway(l))
	if peer := <-peers; peer != netip.MustParseAddr("127.0.0.1") {
		t.Errorf("another service sees %s", peer)
	}
}

func TestASlowReaderGetsEverythingAndHoldsTheSenderBack(t *testing.T) {
	inBoth(t, func(t *testing.T, plain bool) {
		const size = 16 << 20
		l, network := listen(t, egress.Options{})
		serve(t, l, func(c *net.TCPConn) { _, _ = io.CopyN(c, &noise{}, size) })
		sum := sha256.New()
		_, _ = io.CopyN(sum, &noise{}, size)
		if got := inside(t, network, plain, "slow", gateway(l)); got != fmt.Sprintf("%x", sum.Sum(nil)) {
			t.Errorf("got another stream")
		}
	})
}

func TestAPeerThatVanishesIsAReset(t *testing.T) {
	inBoth(t, func(t *testing.T, plain bool) {
		l, network := listen(t, egress.Options{})
		serve(t, l, func(c *net.TCPConn) {
			_, _ = io.ReadFull(c, make([]byte, 5))
			_ = c.SetLinger(0)
		})
		if got := inside(t, network, plain, "reset", gateway(l)); got != "reset" {
			t.Errorf("got %q", got)
		}
	})
}

func TestClosedPortsAreRefused(t *testing.T) {
	inBoth(t, func(t *testing.T, plain bool) {
		l, network := listen(t, egress.Options{})
		l.Close()
		inside(t, network, plain, "denied", "tcp!"+gateway(l))
	})
}

func TestDatagramsGoBothWays(t *testing.T) {
	inBoth(t, func(t *testing.T, plain bool) {
		c, err := new(net.ListenConfig).ListenPacket(t.Context(), "udp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		go func() {
			b := make([]byte, 1<<16)
			for {
				n, from, err := c.ReadFrom(b)
				if err != nil {
					return
				}
				_, _ = c.WriteTo(b[:n], from)
			}
		}()
		to := addrPort(c.LocalAddr())
		network := egress.New(egress.Options{Host: []netip.AddrPort{to}})
		at := netip.AddrPortFrom(netdev.Gateway, to.Port()).String()
		if got := inside(t, network, plain, "udp", at, "1", "1000", "1400", "9000", "60000", "65507"); got != "same" {
			t.Errorf("got %q", got)
		}
	})
}

func TestConnectionsBeyondTheLimitAreRefused(t *testing.T) {
	l, network := listen(t, egress.Options{Connections: 10})
	serve(t, l, echoAll)
	if got := inside(t, network, true, "many", gateway(l), "10"); got != "10" {
		t.Errorf("got %q", got)
	}
	s := start(t, network, true, "hold", gateway(l), "11")
	if err := s.cmd.Wait(); err == nil || !strings.Contains(s.err.String(), "refused") {
		t.Errorf("the eleventh: %v %s", err, s.err.String())
	}
	if r := <-s.refusals; !strings.Contains(r.String(), "limit of concurrent connections") {
		t.Errorf("reported: %s", r)
	}
}

func TestCloseEndsAllConnectionsAndGoroutines(t *testing.T) {
	l, network := listen(t, egress.Options{})
	began, ended := make(chan struct{}, 100), make(chan struct{}, 100)
	serve(t, l, func(c *net.TCPConn) {
		_, _ = io.ReadFull(c, make([]byte, 4))
		began <- struct{}{}
		_, _ = io.Copy(c, io.LimitReader(&noise{}, 64<<20)) // more than all buffers hold
		ended <- struct{}{}
	})
	before := runtime.NumGoroutine()
	s := start(t, network, true, "hold", gateway(l), "50")
	for range 50 {
		<-began
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for range 50 {
		select {
		case <-ended:
		case <-t.Context().Done():
			t.Fatal("a connection remains after its guest")
		}
	}
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
	for deadline := time.Now().Add(time.Minute); runtime.NumGoroutine() > before+5; runtime.Gosched() {
		if time.Now().After(deadline) {
			var dump bytes.Buffer
			_, _ = dump.Write(stacks())
			t.Fatalf("%d goroutines, before %d:\n%s", runtime.NumGoroutine(), before, dump.String())
		}
	}
}

func stacks() []byte {
	b := make([]byte, 1<<20)
	return b[:runtime.Stack(b, true)]
}

func TestGuestsDoNotReachEachOther(t *testing.T) {
	l, network := listen(t, egress.Options{})
	serve(t, l, echoAll)
	one := start(t, network, true, "hold", gateway(l), "1") // listens only on its own addresses
	for one.Usage().Sent == 0 {
		runtime.Gosched()
	}
	inside(t, network, true, "denied", "tcp!198.18.0.3:80", "tcp!198.18.0.6:80", "udp!198.18.0.6:80")
	_ = one.cmd.Process.Kill()
	_ = one.cmd.Wait()
}

func TestAPlainUserNeedsNoPrivileges(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("not root")
	}
	runAsNobody(t)
}
