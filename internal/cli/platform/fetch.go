package platform

import (
	"sync"

	"github.com/lateen-dev/lateen/internal/terminal"
)

// fetchView shows the progress of a runtime's download.
type fetchView struct {
	term *terminal.Term
	log  bool // the platform's own log is in JSON, and tells of it: show nothing

	mu   sync.Mutex // guards below
	name string
	live *terminal.Live
}

// progress receives the reports of the platform.
func (v *fetchView) progress(name string, done, total int64) {
	if v.log {
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.live == nil || v.name != name {
		v.name, v.live = name, v.term.Live("Fetching "+name)
	}
	note := terminal.Amount(done)
	if total > 0 {
		note += "/" + terminal.Amount(total)
	}
	v.live.Set(done, total, note)
	if total > 0 && done >= total {
		v.live.Finish("Fetched %s, %s", name, terminal.Amount(total))
		v.live = nil
	}
}

func (v *fetchView) stop() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.live.Stop()
}
