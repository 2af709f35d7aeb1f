package daemon

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"time"

	"github.com/lateen-dev/lateen/internal/engine/local"
	"github.com/lateen-dev/lateen/internal/fleet"
	"github.com/lateen-dev/lateen/internal/telemetry"
)

// process is this process, with all or some of the roles, as debug bundles show it.
type process struct {
	daemon    *Daemon
	tel       *telemetry.Telemetry
	functions functions
	began     time.Time
}

// processState is a summary of a process.
type processState struct {
	Version    string    `json:"version"`
	Time       time.Time `json:"time"`
	Began      time.Time `json:"began"`
	Process    int       `json:"process"`
	User       int       `json:"user"`
	System     string    `json:"system"`
	CPUs       int       `json:"cpus"`
	Threads    int       `json:"threads"` // that execute Go code at once: GOMAXPROCS
	Goroutines int       `json:"goroutines"`
	Address    string    `json:"address"`
	Missing    string    `json:"missingLayers,omitempty"` // of the sandbox

	Fleet fleet.Stats     `json:"fleet"`
	Pool  local.PoolStats `json:"pool"`
}

func (p *process) state() processState {
	return processState{
		Version: p.daemon.o.Version, Time: time.Now().UTC(), Began: p.began.UTC(), Process: os.Getpid(), User: os.Getuid(),
		System: runtime.GOOS + "/" + runtime.GOARCH, CPUs: runtime.NumCPU(), Threads: runtime.GOMAXPROCS(0), Goroutines: runtime.NumGoroutine(),
		Address: p.daemon.Addr(), Missing: p.daemon.missing, Fleet: p.functions.Stats(), Pool: p.functions.Pools(),
	}
}

// redactor returns a redactor of all secrets that this process knows by value.
func (p *process) redactor(further ...string) redactor {
	secrets := append(p.daemon.o.Config.Secrets(), headerSecrets(p.daemon.o.Getenv)...)
	return newRedactor(append(secrets, further...))
}

// fill adds the files that every process has to a bundle.
func (p *process) fill(ctx context.Context, b *bundle, state func() (any, error)) {
	b.text("build.txt", func(w io.Writer) error {
		info, ok := debug.ReadBuildInfo()
		if !ok {
			return errors.New("the program has no build information")
		}
		_, err := io.WriteString(w, info.String())
		return err
	})
	b.json("config.json", func() (any, error) { return p.daemon.o.Config.Shown(), nil })
	b.json("state.json", state)
	b.json("doctor.json", func() (any, error) { return Examine(ctx, p.daemon.o.Config) })
	b.text("metrics.txt", p.tel.WriteMetrics)
	b.text("log.txt", func(w io.Writer) error { _, err := w.Write(p.tel.RecentLog()); return err })
	b.text("goroutines.txt", func(w io.Writer) error { return pprof.Lookup("goroutine").WriteTo(w, 2) })
	b.file("heap.pprof", func(w io.Writer) error { return pprof.Lookup("heap").WriteTo(w, 0) })
}

// ServeHTTP answers the control process with the debug bundle of this one, a .tar.
func (p *process) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b := newBundle(w, "", time.Now().UTC(), p.redactor())
	p.fill(r.Context(), b, func() (any, error) { return p.state(), nil })
	if b.close() != nil {
		panic(http.ErrAbortHandler) // the archive is incomplete
	}
}
