package egress

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/address"
)

const (
	maxHosts = 64  // hosts counted by name
	maxNames = 512 // addresses with a known name

	otherHosts = "others" // counts the hosts beyond maxHosts
)

// Usage is the network usage of a sandbox.
type Usage struct {
	Outbound []lateen.Outbound // connections and flows by host, the most used first
	Sent     int64             // bytes of sent streams and datagrams
	Received int64             // bytes of received streams and datagrams
}

// ledger counts the usage.
type ledger struct {
	sent, received atomic.Int64

	mu    sync.Mutex // guards the fields below
	hosts map[string]int
	names map[netip.Addr]string // names from the sandbox's DNS queries
	order []netip.Addr          // keys of names, the oldest first
}

// learn records the name that resolved to an address, if it has the characters of a
// host name: other names may resolve too, but must not get into a log.
func (l *ledger) learn(ip netip.Addr, name string) {
	ip = address.Canonical(ip)
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	if strings.ContainsFunc(name, func(r rune) bool { return !strings.ContainsRune("abcdefghijklmnopqrstuvwxyz0123456789-_.", r) }) {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.names == nil {
		l.names = map[netip.Addr]string{}
	}
	if _, known := l.names[ip]; !known {
		if len(l.order) >= maxNames {
			delete(l.names, l.order[0])
			l.order = append(l.order[:0], l.order[1:]...)
		}
		l.order = append(l.order, ip)
	}
	l.names[ip] = name
}

// hostOf returns the last name that resolved to an address, or the address.
func (l *ledger) hostOf(ip netip.Addr) string {
	ip = address.Canonical(ip)
	l.mu.Lock()
	defer l.mu.Unlock()
	return cmp.Or(l.names[ip], ip.String())
}

// count counts a connection to host.
func (l *ledger) count(host string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.hosts == nil {
		l.hosts = map[string]int{}
	}
	if _, known := l.hosts[host]; !known && len(l.hosts) >= maxHosts {
		host = otherHosts
	}
	l.hosts[host]++
}

func (l *ledger) usage() Usage {
	u := Usage{Sent: l.sent.Load(), Received: l.received.Load()}
	l.mu.Lock()
	defer l.mu.Unlock()
	for host, n := range l.hosts {
		u.Outbound = append(u.Outbound, lateen.Outbound{Host: host, Count: n})
	}
	slices.SortFunc(u.Outbound, func(a, b lateen.Outbound) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Host, b.Host))
	})
	return u
}
