package fleet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/atomicfile"
	"github.com/lateen-dev/lateen/internal/autoscale"
)

const (
	rememberEvery = 5 * time.Minute
	maxRemembered = 10_000   // functions in the file, those with the newest requests
	maxHistories  = 64 << 20 // maximum bytes of the file
)

// remembered is the form in which the file keeps a function.
type remembered struct {
	Project lateen.ProjectID `json:"project"`
	Name    string           `json:"name"`
	History []byte           `json:"history"` // see [autoscale.History.AppendBinary]
	Start   time.Duration    `json:"start"`   // ns
	Service time.Duration    `json:"service"` // ns
	CPU     float64          `json:"cpu"`     // seconds
	Resting int64            `json:"resting"` // bytes
	Holding int64            `json:"holding"` // bytes
}

// remember writes the learned statistics to their file, every few minutes and when
// ctx ends.
func (f *Fleet) remember(ctx context.Context) {
	if f.o.Histories == "" {
		return
	}
	every := time.NewTicker(rememberEvery)
	defer every.Stop()
	for {
		select {
		case <-ctx.Done():
		case <-every.C:
		}
		if err := f.writeHistories(); err != nil {
			f.o.Log.Warn("could not write the statistics of functions", "err", err)
		}
		if ctx.Err() != nil {
			return
		}
	}
}

// writeHistories writes the file atomically.
func (f *Fleet) writeHistories() error {
	b, err := json.Marshal(f.histories())
	if err != nil {
		return fmt.Errorf("encode histories: %w", err)
	}
	return atomicfile.Write(f.o.Histories, b, 0o600)
}

// histories returns the content of the file, the function with the newest request
// first.
func (f *Fleet) histories() []remembered {
	f.mu.Lock()
	defer f.mu.Unlock()
	all := make([]remembered, 0, min(f.known.n, maxRemembered))
	for fn := f.known.newest; fn != nil && len(all) < maxRemembered; fn = fn.older {
		if fn.history.Last().IsZero() {
			continue
		}
		history, _ := fn.history.AppendBinary(nil) // never fails
		all = append(all, remembered{
			Project: fn.project.id, Name: fn.name, History: history,
			Start: fn.start, Service: fn.service, CPU: fn.cpu, Resting: fn.idleMemory, Holding: fn.activeMemory,
		})
	}
	return all
}

// recall reads the file. Functions that cannot be read start without statistics.
func (f *Fleet) recall() {
	if f.o.Histories == "" {
		return
	}
	all, err := readHistories(f.o.Histories)
	if err != nil {
		f.o.Log.Warn("could not read the statistics of functions", "err", err)
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range all {
		f.recallLocked(&all[len(all)-1-i]) // so that the function with the newest request ends up as the newest
	}
}

func readHistories(name string) (all []remembered, err error) {
	info, err := os.Stat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, err
	case info.Size() > maxHistories:
		return nil, fmt.Errorf("%s has %d bytes", name, info.Size())
	}
	b, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(b, &all); err != nil {
		return nil, fmt.Errorf("decode %s: %w", name, err)
	}
	return all, nil
}

// recallLocked restores the statistics of a function that has had no request since
// the start.
func (f *Fleet) recallLocked(r *remembered) {
	var history autoscale.History
	if history.UnmarshalBinary(r.History) != nil || r.Start < 0 || r.Service < 0 || !(r.CPU >= 0) || r.Resting < 0 || r.Holding < 0 {
		return
	}
	fn := f.functionLocked(r.Project, r.Name)
	if !fn.history.Last().IsZero() {
		return
	}
	fn.history = history
	fn.start, fn.service, fn.cpu, fn.idleMemory, fn.activeMemory = r.Start, r.Service, r.CPU, r.Resting, r.Holding
}
