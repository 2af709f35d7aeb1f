package cache

// State says how an entry may be used.
type State int

// The states of an entry.
const (
	Fresh   State = iota // serve it
	Stale                // serve it, and refresh it in the background
	Expired              // regenerate it before serving it
)

// Reason says why an entry is not fresh.
type Reason string

// The reasons.
const (
	ByTime  Reason = "stale_time"  // its age is past Fresh or Usable
	ByTag   Reason = "stale_tag"   // one of its tags was invalidated
	ByGroup Reason = "stale_group" // another member of its group was regenerated
)

// freshness is the effect of one version of a scope's marks on an entry.
type freshness struct {
	version uint64
	stale   Reason // "" if the entry is not stale
	expires int64  // expiry in Unix nanoseconds
	expired Reason // reason of the expiry
}

func (f *freshness) expireAt(at int64, why Reason) {
	if at < f.expires {
		f.expires, f.expired = at, why
	}
}
