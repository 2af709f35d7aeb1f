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
		f.mu.Lock()
		all := f.known.histories()
		f.mu.Unlock()
		if err := writeHistories(f.o.Histories, all); err != nil {
			f.o.Log.Warn("could not write the statistics of functions", "err", err)
		}
		if ctx.Err() != nil {
			return
		}
	}
}

// writeHistories writes the file atomically.
func writeHistories(name string, all []remembered) error {
	b, err := json.Marshal(all)
	if err != nil {
		return fmt.Errorf("encode histories: %w", err)
	}
	return atomicfile.Write(name, b, 0o600)
}

// histories returns the content of the file, the function with the newest request
// first.
func (r *recency) histories() []remembered {
	all := make([]remembered, 0, min(r.n, maxRemembered))
	for fn := r.newest; fn != nil && len(all) < maxRemembered; fn = fn.older {
		if fn.learned.History.Last().IsZero() {
			continue
		}
		history, _ := fn.learned.History.AppendBinary(nil) // never fails
		all = append(all, remembered{
			Project: fn.project.id, Name: fn.name, History: history,
			Start: fn.learned.Start, Service: fn.learned.Service, CPU: fn.learned.CPU, Resting: fn.learned.IdleMemory, Holding: fn.learned.ActiveMemory,
		})
	}
	return all
}

// readHistories returns the content of the file; nil if there is none.
func readHistories(name string) (all []remembered, err error) {
	info, err := os.Stat(name)
	switch {
	case name == "", errors.Is(err, fs.ErrNotExist):
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

// restore restores the statistics of a function that has had no request since
// the start.
func (r *roster) restore(m *remembered) {
	var history autoscale.History
	if history.UnmarshalBinary(m.History) != nil || m.Start < 0 || m.Service < 0 || !(m.CPU >= 0) || m.Resting < 0 || m.Holding < 0 {
		return
	}
	fn := r.functionOf(m.Project, m.Name)
	if !fn.learned.History.Last().IsZero() {
		return
	}
	fn.learned.History = history
	fn.learned.Start, fn.learned.Service, fn.learned.CPU, fn.learned.IdleMemory, fn.learned.ActiveMemory = m.Start, m.Service, m.CPU, m.Resting, m.Holding
}
