// Package share divides a fixed amount of a resource between tenants: places for
// work, bytes of a queue, memory of a cache. A tenant may use much of it while other
// tenants use little, and never takes the little that another tenant needs.
package share

// Shares divides an amount. A tenant may hold as much as it leaves free: one tenant
// alone gets half, two get a third each, and some is always left for a tenant that
// holds nothing yet. The same rule applies within a tenant to its parts: the
// projects of a team, the tokens of a team. (Choudhury and Hahne, "Dynamic queue
// length thresholds in a shared memory packet switch", 1998.)
//
// The caller guards Shares against concurrent use. Use [New].
type Shares[K comparable] struct {
	free int64
	held map[K]int64 // amounts of the tenants that hold some
}

// New returns shares of an amount without holders.
func New[K comparable](amount int64) *Shares[K] {
	return &Shares[K]{free: amount, held: map[K]int64{}}
}

// Take takes n for the last of tenants, each of which is a part of the one before
// it. It reports false if that exceeds the share of any of them.
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

// Give gives back n that the last of tenants took.
func (s *Shares[K]) Give(n int64, tenants ...K) { s.add(-n, tenants) }

func (s *Shares[K]) add(n int64, tenants []K) {
	s.free -= n
	for _, tenant := range tenants {
		if s.held[tenant] += n; s.held[tenant] == 0 {
			delete(s.held, tenant)
		}
	}
}

// Held returns the amount that a tenant holds.
func (s *Shares[K]) Held(tenant K) int64 { return s.held[tenant] }

// Free returns the amount that no tenant holds.
func (s *Shares[K]) Free() int64 { return s.free }
