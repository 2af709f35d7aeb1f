package local

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

// past is what an engine learned of the demand for a runtime: those who asked
// all at once may do so again once the platform has restarted.
type past struct {
	Runtime string    `json:"runtime"`
	Last    time.Time `json:"last"` // of the claims
	Peak    float64   `json:"peak"`
}

// recall takes up what an earlier engine has saved. What cannot be read is
// learned anew.
func (k *keeper) recall(file string, now time.Time) error {
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
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, s := range saved {
		for _, p := range k.pools {
			if p.runner.name == s.Runtime && s.Peak > 0 && !s.Last.After(now) {
				p.demand = demand{last: s.Last, peak: s.Peak}
			}
		}
	}
	return nil
}

// remember saves what was learned, at times and when ctx ends.
func (k *keeper) remember(ctx context.Context, file string) {
	ticker := time.NewTicker(saveEvery)
	defer ticker.Stop()
	var before []byte
	for ctx.Err() == nil {
		select {
		case <-ticker.C:
		case <-ctx.Done():
		}
		text, err := k.learned()
		if err == nil && !bytes.Equal(text, before) {
			err, before = atomicfile.Write(file, text, 0o600), text
		}
		if err != nil {
			k.o.log.WarnContext(ctx, "the demand for processes is not remembered", "err", err)
		}
	}
}

// learned is what was learned so far, for the engine that comes next.
func (k *keeper) learned() ([]byte, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	learned := []past{}
	for _, p := range k.pools {
		if !p.demand.last.IsZero() {
			learned = append(learned, past{p.runner.name, p.demand.last, p.demand.peak})
		}
	}
	return json.Marshal(learned)
}
