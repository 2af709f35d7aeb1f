package edge

import (
	"hash/maphash"
	"maps"
	"sync"
	"sync/atomic"

	"github.com/lateen-dev/lateen"
)

// hostTable maps host names to bindings. Every look-up reads one immutable snapshot
// of the whole table, without a lock. A change copies the shards of the changed hosts
// and the list of shards, so its cost grows with the hosts of a shard, not with those
// of the table.
type hostTable struct {
	seed     maphash.Seed
	mu       sync.Mutex // serializes changes
	snapshot atomic.Pointer[hostShards]
}

// hostShards are the maps of the hosts by hash. With 10,000 hosts, a shard has about
// 10.
type hostShards [1024]map[string]lateen.Binding

func newHostTable() *hostTable {
	t := &hostTable{seed: maphash.MakeSeed()}
	t.snapshot.Store(new(hostShards))
	return t
}

// get returns the binding of a host in the form of [hostname].
func (t *hostTable) get(host string) (lateen.Binding, bool) {
	b, ok := t.snapshot.Load()[t.shard(host)][host]
	return b, ok
}

// put binds hosts, and removes those whose binding is zero. A look-up sees all of the
// changes or none.
func (t *hostTable) put(hosts map[string]lateen.Binding) {
	t.mu.Lock()
	defer t.mu.Unlock()
	next := new(hostShards)
	*next = *t.snapshot.Load()
	var copied [len(next)]bool
	for host, b := range hosts {
		host = hostname(host)
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

func (t *hostTable) shard(host string) uint64 {
	return maphash.String(t.seed, host) % uint64(len(hostShards{}))
}
