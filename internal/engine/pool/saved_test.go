package pool

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"
)

func TestDemandIsRestoredAfterARestart(t *testing.T) {
	file := filepath.Join(t.TempDir(), "demand.json")
	synctest.Test(t, func(t *testing.T) {
		y := newFakePools(t, 2, 1)
		p := y.all[0]
		for range 40 {
			p.arrive()
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			y.Remember(ctx, file)
		}()
		synctest.Wait()
		if _, err := os.Stat(file); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("the demand is saved at once: %v", err)
		}
		time.Sleep(saveEvery + time.Second)
		synctest.Wait()
		whole, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		p.arrive()
		cancel()
		<-done
		if last, err := os.ReadFile(file); err != nil || bytes.Equal(last, whole) {
			t.Errorf("the last claim is not among %s, %v", last, err)
		}

		next := newFakePools(t, 2, 1)
		if err := next.Recall(file, time.Now()); err != nil {
			t.Fatal(err)
		}
		next.all[0].Find(t.Context())
		if ready, _ := next.has(next.all[0], time.Minute); ready < 40 {
			t.Errorf("after a restart %d are ready", ready)
		}
	})
}

func TestUnreadableDemandIsIgnored(t *testing.T) {
	now := start()
	for name, content := range map[string]string{
		"damaged": `[{"runtime":`, "of the future": `[{"runtime":"test","last":"2030-01-01T00:00:00Z","peak":9}]`,
		"of another": `[{"runtime":"other","last":"2025-12-31T23:59:00Z","peak":9}]`, "less than nothing": `[{"runtime":"test","last":"2025-12-31T23:59:00Z","peak":-9}]`,
	} {
		ps := New(Options[*fakeProcess]{Runtimes: []string{"test"}, Floor: 2, Processors: 2, Log: slog.New(slog.DiscardHandler)})
		file := filepath.Join(t.TempDir(), "demand.json")
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := ps.Recall(file, now); err != nil != (name == "damaged") {
			t.Errorf("%s: %v", name, err)
		}
		if size := ps.all[0].demand.size(now, 2); size != 0 {
			t.Errorf("%s: the size is %d", name, size)
		}
		if err := ps.Recall(file+"x", now); err != nil {
			t.Errorf("without a file: %v", err)
		}
	}
}
