package cache

import (
	"errors"
	"io/fs"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"sync/atomic"
)

// samples is the number of entries from which evict chooses the least recently used.
const samples = 16

// evict removes entries until the rest fit.
func (st *storage) evict() {
	if st.used.Load() <= st.o.MaxBytes && st.count.Load() <= st.o.MaxEntries || !st.evicting.TryLock() {
		return
	}
	defer st.evicting.Unlock()
	st.evictTo(st.o.MaxBytes, &st.used, func(s *scope) int64 { return s.used.Load() })
	st.evictTo(st.o.MaxEntries, &st.count, func(s *scope) int64 { return int64(s.count()) })
}

// evictTo removes entries until total, the sum of part over the scopes, is within bound.
// It always evicts from the tenant that holds most, so that no tenant loses an entry to
// a larger one. It frees a little more than needed, so that the next entries do not
// repeat the search for that tenant.
func (st *storage) evictTo(bound int64, total *atomic.Int64, part func(s *scope) int64) {
	if total.Load() <= bound {
		return
	}
	for some := bound / 64; total.Load() > bound-some; {
		scopes, _ := st.largestTenant(func(s *scope) (string, int64) { return s.owner(), part(s) })
		for until := total.Load() - max(some, 1); total.Load() > until; {
			s, hash, it := victim(scopes)
			if it == nil {
				return // dropped meanwhile
			}
			st.remove(s, hash, it)
		}
	}
}

// largestTenant returns the scopes of the tenant with the greatest sum of part, and the
// sum over all tenants. part returns the tenant and the amount of one scope.
func (st *storage) largestTenant(part func(s *scope) (tenant string, n int64)) (scopes []*scope, total int64) {
	all, has := map[string][]*scope{}, map[string]int64{}
	largest := ""
	for _, s := range st.allScopes() {
		tenant, n := part(s)
		if n <= 0 {
			continue
		}
		all[tenant] = append(all[tenant], s)
		has[tenant] += n
		total += n
	}
	for tenant, n := range has {
		if n > has[largest] {
			largest = tenant
		}
	}
	return all[largest], total
}

// removeNames removes the older half of the names of invalidated tags and groups
// from the largest scope of the tenant with most names, until the names of all
// tenants are within bound, or no scope has more than the mark that replaces its
// removed names. Scopes without a known project, whose pages were never requested,
// count as one tenant.
func (st *storage) removeNames(bound int64) error {
	for {
		scopes, total := st.largestTenant(func(s *scope) (string, int64) {
			if tenant := s.owner(); tenant != filepath.Base(s.dir) {
				return tenant, int64(s.marks.count())
			}
			return "", int64(s.marks.count())
		})
		if total <= bound {
			return nil
		}
		most := slices.MaxFunc(scopes, func(a, b *scope) int { return a.marks.count() - b.marks.count() })
		if most.marks.count() <= 1 {
			return nil
		}
		if err := most.marks.removeOlderHalf(); err != nil && !errors.Is(err, fs.ErrNotExist) { // the scope may have been dropped meanwhile
			return err
		}
	}
}

// victim returns the least recently used of some random entries of scopes; the order
// of maps makes the choice random.
func victim(scopes []*scope) (from *scope, hash [32]byte, oldest *item) {
	seen := 0
	for i, at := range rand.Perm(len(scopes)) {
		s := scopes[at]
		s.mu.Lock()
		of := 0
		for h, it := range s.items {
			if oldest == nil || it.access.Load() < oldest.access.Load() {
				from, hash, oldest = s, h, it
			}
			if of++; of == samples || of == samples/2 && i < len(scopes)-1 {
				break
			}
		}
		s.mu.Unlock()
		if seen += of; seen >= samples {
			break
		}
	}
	return from, hash, oldest
}
