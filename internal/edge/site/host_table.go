package site

import (
	"hash/maphash"
	"maps"
	"net"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/lateen-dev/lateen"
)

// HostTable maps host names to bindings. Every look-up reads one immutable snapshot
// of the whole table, without a lock. A change copies the shards of the changed hosts
// and the list of shards, so its cost grows with the hosts of a shard, not with those
// of the table.
type HostTable struct {
	seed     maphash.Seed
	mu       sync.Mutex // serializes changes
	snapshot atomic.Pointer[hostShards]
}

// hostShards are the maps of the hosts by hash. With 10,000 hosts, a shard has about
// 10.
type hostShards [1024]map[string]lateen.Binding

// NewHostTable returns an empty table.
func NewHostTable() *HostTable {
	t := &HostTable{seed: maphash.MakeSeed()}
	t.snapshot.Store(new(hostShards))
	return t
}

// Get returns the binding of a host in the form of [Hostname].
func (t *HostTable) Get(host string) (lateen.Binding, bool) {
	b, ok := t.snapshot.Load()[t.shard(host)][host]
	return b, ok
}

// Put binds hosts, and removes those whose binding is zero. A look-up sees all of the
// changes or none.
func (t *HostTable) Put(hosts map[string]lateen.Binding) {
	t.mu.Lock()
	defer t.mu.Unlock()
	next := new(hostShards)
	*next = *t.snapshot.Load()
	var copied [len(next)]bool
	for host, b := range hosts {
		host = Hostname(host)
		i := t.shard(host)
		if !copied[i] {
			next[i], copied[i] = maps.Clone(next[i]), true
		}
		if b.IsZero() {
			delete(next[i], host)
			continue
		}
		if next[i] == nil {
			next[i] = make(map[string]lateen.Binding, 1)
		}
		next[i][host] = b
	}
	t.snapshot.Store(next)
}

func (t *HostTable) shard(host string) uint64 {
	return maphash.String(t.seed, host) % uint64(len(hostShards{}))
}

// Hostname returns host in the form of the host table: in lower case, without port
// and final dot.
func Hostname(host string) string {
	if i := strings.LastIndexByte(host, ':'); i >= 0 && !strings.HasSuffix(host, "]") {
		if h, _, err := net.SplitHostPort(host); err == nil {
			host = h
		}
	}
	return strings.ToLower(strings.TrimSuffix(host, "."))
}
