package guest_test

import (
	"context"
	"flag"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/edge/call"
	"github.com/lateen-dev/lateen/internal/engine/local"
	"github.com/lateen-dev/lateen/internal/fleet"
	"github.com/lateen-dev/lateen/internal/worker"
)

var onWorker = flag.Bool("worker", false, "run the functions on a worker, behind its socket")

// TestTheSuitePassesOnAWorker runs the other tests in a process with -worker.
func TestTheSuitePassesOnAWorker(t *testing.T) {
	if *onWorker {
		return
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-worker", "-test.timeout=7m")
	cmd.Stdout, cmd.Stderr = t.Output(), t.Output()
	if err := cmd.Run(); err != nil {
		t.Error(err)
	}
}

// backend is a fleet with its engine.
type backend struct {
	*fleet.Fleet

	engine *local.Engine
}

// Provide implements [worker.Backend].
func (b *backend) Provide(ctx context.Context, f *lateen.Function) error {
	return b.engine.Provide(ctx, f)
}

// functions returns f, or with -worker a client of it over a socket, which ends after f.
func (p *platform) functions(f *fleet.Fleet, events *worker.Events) call.Invoker {
	p.t.Helper()
	if !*onWorker {
		return f
	}
	dir, err := os.MkdirTemp("", "w") // shorter than the names of tests, for the path of a socket
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { _ = os.RemoveAll(dir) })
	socket := filepath.Join(dir, "w")
	listener, err := worker.Listen(p.t.Context(), socket)
	if err != nil {
		p.t.Fatal(err)
	}
	log := slog.New(slog.NewTextHandler(p.t.Output(), &slog.HandlerOptions{Level: slog.LevelError}))
	client := worker.New(worker.ClientOptions{Dial: worker.Dial(socket), Lines: p.logs, Log: log})
	p.run(client.Run)
	p.run(worker.NewServer(worker.ServerOptions{Backend: &backend{f, p.engine}, Listener: listener, Events: events, Log: log}).Run)
	return client
}
