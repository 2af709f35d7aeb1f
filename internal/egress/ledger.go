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
	maxHosts = 64  // counted by name
	maxNames = 512 // addresses whose name is known

	otherHosts = "others" // counts what is beyond maxHosts
)

// Usage is what a sandbox has used of the network.
type Usage struct {
	Outbound []lateen.Outbound // connections and flows by host, the most first
	Sent     int64             // bytes of the streams and datagrams it has sent
	Received int64             // and received
}

// ledger keeps count.
type ledger struct {
	sent, received atomic.Int64

	mu    sync.Mutex // guards below
	hosts map[string]int
	names map[netip.Addr]string // as the sandbox asked for them
	order []netip.Addr          // keys of names, the oldest first
}

// learn remembers the name that led to an address, if it is one as hosts have
// them: others lead somewhere as well, but have no place in a log.
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

// hostOf returns the name that last led to an address, or the address.
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
