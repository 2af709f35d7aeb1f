// Package processtest opens hosts for the tests of packages that start processes.
package processtest

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"

	"github.com/lateen-dev/lateen/internal/engine/enginetest"
	"github.com/lateen-dev/lateen/internal/engine/local/process"
	"github.com/lateen-dev/lateen/internal/sandbox"
)

const slowness = 10 // factor of the timeouts: the machine may be busy with other tests

// Open returns a host that starts processes until the test ends. dir is the directory
// of its sockets.
func Open(t testing.TB, dir string) *process.Host {
	t.Helper()
	walls, err := sandbox.Open(sandbox.Options{})
	if err != nil {
		t.Fatal(err)
	}
	h := &process.Host{Options: process.Options{
		Sandbox: walls, Dir: dir, Logs: &enginetest.Logs{}, Memory: 1024, TimeoutFactor: slowness, Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
	}}
	if err := h.OpenSockets(); err != nil {
		t.Fatal(err)
	}
	ctx, end := context.WithCancel(context.WithoutCancel(t.Context()))
	var starts sync.WaitGroup
	starts.Go(func() { _ = walls.Run(ctx) }) // always nil
	t.Cleanup(func() {
		h.EndTasks()
		end()
		starts.Wait()
		h.WaitTasks()
		if err := errors.Join(walls.Close(), h.Close()); err != nil {
			t.Error(err)
		}
	})
	return h
}
