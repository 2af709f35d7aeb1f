package local

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/lateen-dev/lateen/internal/engine/enginetest"
)

// awaitPool waits until as many blank processes are ready as should be, and the
// machine is at rest.
func awaitPool(tb testing.TB, e *Engine) {
	tb.Helper()
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	deadline := time.After(time.Minute)
	for quiet := 0; quiet < 10; quiet++ {
		if s := e.Pools(); s.Target == 0 || s.Ready < s.Target || s.Booting > 0 {
			quiet = 0
		}
		select {
		case <-ticker.C:
		case <-deadline:
			tb.Fatalf("the pools stay at %+v", e.Pools())
		}
	}
}

func TestDeadBlankProcessesAreNotHandedOut(t *testing.T) {
	s, e := newSuite(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	awaitPool(t, e)
	p := e.pools[nodeName(newestNode)]
	e.keeper.mu.Lock()
	all := slices.Clone(p.ready)
	for _, b := range all[1:] {
		w := b.(*worker)
		w.kill()
		<-w.exited
	}
	e.keeper.mu.Unlock()
	i, err := s.Engine.Start(ctx, enginetest.Spec("exports", "cjs.js", nil))
	if err != nil {
		t.Fatal(err)
	}
	defer end(i)
	if i.(*instance).worker != all[0].(*worker) {
		t.Error("the one that lived was not handed out")
	}
}
