// Package share divides what there is a fixed amount of between tenants: places
// for work, bytes of a queue, memory of a cache. A tenant that wants much gets
// much as long as others want little, and never what another tenant needs for
// the little that it wants.
package share

// Shares divide an amount. A tenant may hold as much as it leaves free: one
// alone gets half, two get a third each, and there is always something left for
// a tenant that holds nothing yet. Within a tenant the same holds for its
// parts: the projects of a team, the tokens of a team. (Choudhury and Hahne,
// "Dynamic queue length thresholds in a shared memory packet switch", 1998.)
//
// A caller guards Shares against concurrent use. Use [New].
type Shares[K comparable] struct {
	free int64
	held map[K]int64 // of tenants that hold something
}

// New returns shares of an amount of which nothing is held.
func New[K comparable](amount int64) *Shares[K] {
	return &Shares[K]{free: amount, held: map[K]int64{}}
}

// Take takes n for the last of tenants, each of which is a part of the one
// before it, unless that is more than its share or than the share of one of the
// others.
func (s *Shares[K]) Take(n int64, tenants ...K) bool {
	if !s.Has(n, tenants...) {
		return false
	}
	s.add(n, tenants)
	return true
}

// Has reports whether [Shares.Take] would take n.
func (s *Shares[K]) Has(n int64, tenants ...K) bool {
	room := s.free
	for _, tenant := range tenants {
		if s.held[tenant]+n > room {
			return false
		}
		room -= s.held[tenant]
	}
	return n <= s.free
}

// Give gives back n of what the last of tenants took.
func (s *Shares[K]) Give(n int64, tenants ...K) { s.add(-n, tenants) }

func (s *Shares[K]) add(n int64, tenants []K) {
	s.free -= n
	for _, tenant := range tenants {
		if s.held[tenant] += n; s.held[tenant] == 0 {
			delete(s.held, tenant)
		}
	}
}

// Held is how much a tenant holds.
func (s *Shares[K]) Held(tenant K) int64 { return s.held[tenant] }

// Free is how much no tenant holds.
func (s *Shares[K]) Free() int64 { return s.free }
