package rounds

// Shares divides a number of places between tenants, by dynamic thresholds
// (Choudhury and Hahne, IEEE/ACM Transactions on Networking 6(2), 1998): a tenant
// that holds as many places as are free gets no more. One busy tenant thus holds
// half of the places at most, two hold a third each, and a tenant that holds none
// finds a free one. It is not safe for concurrent use.
type Shares[K comparable] struct {
	free int
	held map[K]int
}

// NewShares returns so many free places.
func NewShares[K comparable](places int) *Shares[K] {
	return &Shares[K]{free: places, held: map[K]int{}}
}

// Take gives a tenant a place and reports whether the tenant may have one.
func (s *Shares[K]) Take(tenant K) bool {
	if s.held[tenant] >= s.free {
		return false
	}
	s.free--
	s.held[tenant]++
	return true
}

// Give takes a place back from a tenant.
func (s *Shares[K]) Give(tenant K) {
	s.free++
	if s.held[tenant]--; s.held[tenant] <= 0 {
		delete(s.held, tenant)
	}
}
