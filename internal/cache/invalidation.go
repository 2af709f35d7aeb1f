package cache

import (
	"errors"
	"path/filepath"
	"time"

	"github.com/lateen-dev/lateen/internal/datacache"
)

// invalidate marks names of s as invalidated at a reading of the clock. A dropped
// scope needs no marks.
func (st *storage) invalidate(s *scope, names []string, at int64, grace time.Duration) error {
	ahead := st.clock.reserve(at)
	err := s.invalidate(names, at, st.o.Now(), grace)
	if errors.Is(err, errDropped) {
		return nil
	}
	return errors.Join(ahead, err, st.removeNames(maxMarked))
}

// invalidateOnce invalidates the tags of v, unless the scope had an invalidation with the ID
// of v. What was stored after that one stays valid: the clock is read before.
func (st *storage) invalidateOnce(scope string, v datacache.Invalidation) error {
	s, names, at := st.scope(scope), tagNames(SplitTags(v.Tags)), st.clock.tick()
	if s == nil || len(names) == 0 || s.marks.has(v.ID) {
		return nil
	}
	defer s.marks.note(v.ID)
	return st.invalidate(s, names, at, v.Grace)
}

// propagate makes the older members of e's group stale or expired. It runs before e is
// stored: if storing fails, the members are regenerated too early rather than too
// late.
func (st *storage) propagate(s *scope, e *Entry, how Propagation) {
	if s == nil || e.Group == "" {
		return
	}
	switch how {
	case PropagateExpired:
		if err := st.invalidate(s, []string{groupName(e.Group)}, e.Started.UnixNano(), 0); err != nil {
			st.o.Log.Error("could not save the invalidation of a group", "deployment_id", filepath.Base(s.dir), "err", err)
		}
	case PropagateStale:
		s.marks.markRegenerated(e.Group, e.Started)
	case PropagateNone:
	}
}
