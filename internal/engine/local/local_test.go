package local

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/lateen-dev/lateen/internal/engine"
	"github.com/lateen-dev/lateen/internal/engine/enginetest"
	"github.com/lateen-dev/lateen/internal/sandbox"
)

func TestMain(m *testing.M) {
	sandbox.Child()
	os.Exit(m.Run())
}

// open returns an engine that runs as long as the test.
func open(t testing.TB, f enginetest.Fixture) *Engine {
	t.Helper()
	e, err := New(Options{
		Dir: filepath.Join(t.TempDir(), "run"), Trees: f.Trees, TreesDir: f.TreesDir, Logs: f.Logs,
		Toolchain: enginetest.Toolchain(t), Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	if missing := e.Missing(); missing != "" {
		t.Log(missing)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- e.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return e
}

func TestConformance(t *testing.T) {
	enginetest.Run(t, func(t testing.TB, f enginetest.Fixture) engine.Engine { return open(t, f) })
}
