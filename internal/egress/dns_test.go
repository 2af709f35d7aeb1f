//go:build linux

package egress_test

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/dns/dnsmessage"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/egress"
	"github.com/lateen-dev/lateen/internal/netdev"
)

// zone is the records of a nameserver.
type zone map[string][]string

// serveDNS answers over UDP and TCP. Over UDP, the response for a name that begins
// with "large" is truncated, and two forged responses precede each response.
func (z zone) serveDNS(t testing.TB) netip.AddrPort {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	c, err := new(net.ListenConfig).ListenPacket(t.Context(), "udp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	go func() {
		b := make([]byte, 4096)
		for {
			n, from, err := c.ReadFrom(b)
			if err != nil {
				return
			}
			forged := z.answer(b[:n], "udp")
			binary.BigEndian.PutUint16(forged, binary.BigEndian.Uint16(forged)+1)
			_, _ = c.WriteTo(forged, from)
			_, _ = c.WriteTo([]byte("nonsense"), from)
			_, _ = c.WriteTo(z.answer(b[:n], "udp"), from)
		}
	}()
	serve(t, l, func(c *net.TCPConn) {
		for {
			var size [2]byte
			if _, err := io.ReadFull(c, size[:]); err != nil {
				return
			}
			query := make([]byte, binary.BigEndian.Uint16(size[:]))
			if _, err := io.ReadFull(c, query); err != nil {
				return
			}
			answer := z.answer(query, "tcp")
			_, _ = c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(answer))), answer...))
		}
	})
	return addrPort(l.Addr())
}

func (z zone) answer(query []byte, network string) []byte {
	var m dnsmessage.Message
	if err := m.Unpack(query); err != nil || len(m.Questions) != 1 {
		return nil
	}
	q := m.Questions[0]
	name := strings.ToLower(strings.TrimSuffix(q.Name.String(), "."))
	m.Response, m.RecursionAvailable = true, true
	m.Additionals = nil
	known, ok := z[name]
	if !ok {
		m.RCode = dnsmessage.RCodeNameError
	}
	if strings.HasPrefix(name, "large") && network == "udp" {
		m.Truncated = true
		known = nil
	}
	for _, text := range known {
		ip := netip.MustParseAddr(text)
		h := dnsmessage.ResourceHeader{Name: q.Name, Class: q.Class, TTL: 5}
		switch {
		case ip.Is4() && q.Type == dnsmessage.TypeA:
			m.Answers = append(m.Answers, dnsmessage.Resource{Header: h, Body: &dnsmessage.AResource{A: ip.As4()}})
		case ip.Is6() && q.Type == dnsmessage.TypeAAAA:
			m.Answers = append(m.Answers, dnsmessage.Resource{Header: h, Body: &dnsmessage.AAAAResource{AAAA: ip.As16()}})
		}
	}
	msg, err := m.Pack()
	if err != nil {
		return nil
	}
	return msg
}

func TestNamesAreResolvedByTheHostsResolvers(t *testing.T) {
	large := make([]string, 200)
	for i := range large {
		large[i] = fmt.Sprintf("1.2.3.%d", i)
	}
	z := zone{"example.com": {"93.184.216.34", "2606:2800:220:1::1"}, "large.example.com": large}
	inBoth(t, func(t *testing.T, plain bool) {
		dead := netip.MustParseAddrPort("127.0.0.1:9") // the first resolver, which does not answer
		network := egress.New(egress.Options{Resolvers: []netip.AddrPort{dead, z.serveDNS(t)}})
		for _, over := range []string{"", "tcp"} {
			got := inside(t, network, plain, "resolve", over, "example.com", "EXAMPLE.com", "large.example.com", "nowhere.example.com", "x.localhost", netdev.Host)
			lines := strings.Split(got, "\n")
			for i, want := range []string{
				"example.com [93.184.216.34 2606:2800:220:1::1]", "EXAMPLE.com [93.184.216.34 2606:2800:220:1::1]", "large.example.com [1.2.3.0 1.2.3.1 ",
				"nowhere.example.com: lookup nowhere.example.com", "x.localhost [198.18.0.1]", netdev.Host + " [198.18.0.1]",
			} {
				if !strings.HasPrefix(lines[i], want) {
					t.Errorf("over %q: got %s, want %s…", over, lines[i], want)
				}
			}
			if n := strings.Count(lines[2], "1.2.3."); n != 200 {
				t.Errorf("over %q: %d of 200 addresses", over, n)
			}
		}
	})
}

func TestConnectionsAreCountedByTheResolvedName(t *testing.T) {
	l, network := listen(t, egress.Options{Resolvers: []netip.AddrPort{zone{"inner.example.com": {"10.9.8.7"}}.serveDNS(t)}})
	serve(t, l, echoAll)
	port := fmt.Sprint(addrPort(l.Addr()).Port())
	s := start(t, network, true, "visit", "app.localhost:"+port, "app.localhost:"+port, gateway(l))
	s.wait(t)
	if diff := cmp.Diff([]lateen.Outbound{{Host: "app.localhost", Count: 3}}, s.Usage().Outbound); diff != "" {
		t.Error(diff)
	}
	s = start(t, network, true, "visit", "inner.example.com:80", "inner.example.com:81")
	if err := s.cmd.Wait(); err == nil {
		t.Error("a private address was reached by name")
	}
	want := "a connection to inner.example.com (10.9.8.7:80) was refused: it is not on the public Internet; the operator may allow it with --function-networks 10.9.8.7/32"
	if r := <-s.refusals; r.String() != want {
		t.Errorf("reported: %s", r)
	}
}
