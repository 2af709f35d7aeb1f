package cache

import (
	"errors"
	"path/filepath"
	"time"
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

// invalidateOnce invalidates tags, unless the scope had an invalidation with the same ID.
// Entries that were stored after that one stay valid: the clock is read before. An
// invalidation that may not survive a restart does not count.
func (st *storage) invalidateOnce(id, scope string, tags []string, grace time.Duration) error {
	s, names, at := st.scope(scope), tagNames(tags), st.clock.tick()
	if s == nil || len(names) == 0 || s.marks.has(id) {
		return nil
	}
	if err := st.invalidate(s, names, at, grace); err != nil {
		return err // the other copy may reach the disk
	}
	s.marks.note(id)
	return nil
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
