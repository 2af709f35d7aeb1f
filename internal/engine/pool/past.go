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

const saveEvery = time.Minute // what was learned of demand

// past is what pools learned of the demand for a runtime: those who asked
// all at once may do so again once the platform has restarted.
type past struct {
	Runtime string    `json:"runtime"`
	Last    time.Time `json:"last"` // of the claims
	Peak    float64   `json:"peak"`
}

// Recall takes up what earlier ones have saved. What cannot be read is
// learned anew.
func (ps *Pools[P]) Recall(file string, now time.Time) error {
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	var saved []past
	if err == nil {
		err = json.Unmarshal(text, &saved)
	}
	if err != nil {
		return fmt.Errorf("recall the demand for processes: %w", err)
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

// Remember saves what was learned, at times and when ctx ends.
func (ps *Pools[P]) Remember(ctx context.Context, file string) {
	ticker := time.NewTicker(saveEvery)
	defer ticker.Stop()
	var before []byte
	for ctx.Err() == nil {
		select {
		case <-ticker.C:
		case <-ctx.Done():
		}
		text, err := ps.learned()
		if err == nil && !bytes.Equal(text, before) {
			err, before = atomicfile.Write(file, text, 0o600), text
		}
		if err != nil {
			ps.o.Log.WarnContext(ctx, "the demand for processes is not remembered", "err", err)
		}
	}
}

// learned is what was learned so far, for those that come next.
func (ps *Pools[P]) learned() ([]byte, error) {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	learned := []past{}
	for _, p := range ps.all {
		if !p.demand.last.IsZero() {
			learned = append(learned, past{p.name, p.demand.last, p.demand.peak})
		}
	}
	return json.Marshal(learned)
}
