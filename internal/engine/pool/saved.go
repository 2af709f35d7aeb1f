package pool

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/lateen-dev/lateen/internal/atomicfile"
)

const saveEvery = time.Minute // interval at which the demand is saved

// savedDemand is the saved demand for a runtime, so that a burst that comes again after a
// restart finds a large enough pool.
type savedDemand struct {
	Runtime string    `json:"runtime"`
	Last    time.Time `json:"last"` // time of the last claim
	Peak    float64   `json:"peak"`
}

// Recall loads the saved demand of an earlier run. If it returns an error, the pools
// start without a history.
func (ps *Pools[P]) Recall(file string, now time.Time) error {
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	var saved []savedDemand
	if err == nil {
		err = json.Unmarshal(text, &saved)
	}
	if err != nil {
		return fmt.Errorf("load the demand history of pools: %w", err)
	}
	ps.mu.Lock()
	defer ps.mu.Unlock()
	for _, s := range saved {
		for _, p := range ps.all {
			if p.name == s.Runtime && s.Peak > 0 && !s.Last.After(now) {
				p.demand = demand{last: s.Last, peak: s.Peak}
			}
		}
	}
	return nil
}

// Remember saves the demand at intervals and when ctx ends.
func (ps *Pools[P]) Remember(ctx context.Context, file string) {
	ticker := time.NewTicker(saveEvery)
	defer ticker.Stop()
	var before []byte
	for ctx.Err() == nil {
		select {
		case <-ticker.C:
		case <-ctx.Done():
		}
		text, err := ps.encodeDemand()
		if err == nil && !bytes.Equal(text, before) {
			err, before = atomicfile.Write(file, text, 0o600), text
		}
		if err != nil {
			ps.o.Log.WarnContext(ctx, "could not save the demand history of pools", "err", err)
		}
	}
}

// encodeDemand returns the demand in the form in which it is saved.
func (ps *Pools[P]) encodeDemand() ([]byte, error) {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	saved := []savedDemand{}
	for _, p := range ps.all {
		if !p.demand.last.IsZero() {
			saved = append(saved, savedDemand{p.name, p.demand.last, p.demand.peak})
		}
	}
	return json.Marshal(saved)
}
