package process

import "sync"

// Tags are the tags of the code caches that the booted processes of each runtime can
// read. A process that another one forks, and one that has not booted yet, can read
// the same.
type Tags struct {
	mu  sync.Mutex // guards all
	all map[string]string
}

// Of returns the latest tag of a runtime; "" before its first boot.
func (t *Tags) Of(r *Runner) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.all[r.Name]
}

// Set records the tag of a booted process, if it is not "".
func (t *Tags) Set(r *Runner, tag string) {
	if tag == "" {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.all == nil {
		t.all = map[string]string{}
	}
	t.all[r.Name] = tag
}
