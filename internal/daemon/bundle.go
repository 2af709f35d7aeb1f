package daemon

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"sync"
	"time"

	"github.com/lateen-dev/lateen/internal/control"
	"github.com/lateen-dev/lateen/internal/engine/local"
	"github.com/lateen-dev/lateen/internal/fleet"
	"github.com/lateen-dev/lateen/internal/observe"
)

// debugger shows the state of this process to operators, to one at a time. It
// implements [api.Debugger].
type debugger struct {
	daemon    *Daemon
	of        *capabilities
	verbs     *control.Control
	functions functions
	began     time.Time

	busy sync.Mutex // held while a profile or a bundle is taken
}

// platformState is a summary of the platform.
type platformState struct {
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

	Hosts       int   `json:"hosts"`       // that lead to a deployment
	Productions int   `json:"productions"` // projects with a production deployment
	CachedBytes int64 `json:"cachedBytes"` // of cached pages, on disk

	Fleet fleet.Stats     `json:"fleet"`
	Pool  local.PoolStats `json:"pool"`
	Log   observe.Stats   `json:"log"`
}

// Bundle writes a debug bundle, a .tar.gz of everything that helps to find the cause
// of a fault of the platform. It contains no secret.
func (d *debugger) Bundle(w http.ResponseWriter, r *http.Request) error {
	if !d.busy.TryLock() {
		return errDebugBusy
	}
	defer d.busy.Unlock()
	now := time.Now().UTC()
	name := "lateen-debug-" + now.Format("20060102-150405")
	w.Header().Set("Content-Type", "application/gzip")
	w.Header().Set("Content-Disposition", fmt.Sprintf("attachment; filename=%q", name+".tar.gz"))
	zipped := gzip.NewWriter(w)
	archive := &bundle{tar: tar.NewWriter(zipped), dir: name, now: now, redactor: d.redactor()}
	d.fill(r.Context(), archive)
	return errors.Join(archive.err, archive.tar.Close(), zipped.Close())
}

// redactor returns a redactor of all secrets that this process knows by value.
func (d *debugger) redactor() redactor {
	secrets := append(d.daemon.o.Config.Secrets(), headerSecrets(d.daemon.o.Getenv)...)
	return newRedactor(append(secrets, d.daemon.token))
}

// fill adds the files to a bundle. A failure to create one is the content of errors.txt.
func (d *debugger) fill(ctx context.Context, b *bundle) {
	tel := d.of.tel
	b.text("build.txt", func(w io.Writer) error {
		info, ok := debug.ReadBuildInfo()
		if !ok {
			return errors.New("the program has no build information")
		}
		_, err := io.WriteString(w, info.String())
		return err
	})
	b.json("config.json", func() (any, error) { return d.daemon.o.Config.Shown(), nil })
	b.json("state.json", func() (any, error) { return d.state(ctx) })
	b.json("doctor.json", func() (any, error) { return Examine(ctx, d.daemon.o.Config) })
	b.text("metrics.txt", tel.WriteMetrics)
	b.text("log.txt", func(w io.Writer) error { _, err := w.Write(tel.RecentLog()); return err })
	b.text("goroutines.txt", func(w io.Writer) error { return pprof.Lookup("goroutine").WriteTo(w, 2) })
	b.file("heap.pprof", func(w io.Writer) error { return pprof.Lookup("heap").WriteTo(w, 0) })
	if b.faults.Len() > 0 {
		b.text("errors.txt", func(w io.Writer) error { _, err := b.faults.WriteTo(w); return err })
	}
}

func (d *debugger) state(ctx context.Context) (platformState, error) {
	hosts, err := d.verbs.Hosts(ctx)
	if err != nil {
		return platformState{}, err
	}
	productions, err := d.verbs.Productions(ctx)
	if err != nil {
		return platformState{}, err
	}
	return platformState{
		Version: d.daemon.o.Version, Time: time.Now().UTC(), Began: d.began.UTC(), Process: os.Getpid(), User: os.Getuid(),
		System: runtime.GOOS + "/" + runtime.GOARCH, CPUs: runtime.NumCPU(), Threads: runtime.GOMAXPROCS(0), Goroutines: runtime.NumGoroutine(),
		Address: d.daemon.Addr(), Missing: d.daemon.missing, Hosts: len(hosts), Productions: len(productions), CachedBytes: d.of.pages.Used(),
		Fleet: d.functions.Stats(), Pool: d.functions.Pools(), Log: d.of.logs.Stats(),
	}, nil
}

// bundle writes files into an archive, below one directory.
type bundle struct {
	tar      *tar.Writer
	dir      string
	now      time.Time
	redactor redactor
	faults   bytes.Buffer // of files that could not be created
	err      error        // of the archive
}

// file adds a file with the bytes that write writes.
func (b *bundle) file(name string, write func(io.Writer) error) {
	var content bytes.Buffer
	if err := write(&content); err != nil {
		fmt.Fprintf(&b.faults, "%s: %v\n", name, err)
		return
	}
	b.add(name, content.Bytes())
}

// text adds a file with a text, without its secrets.
func (b *bundle) text(name string, write func(io.Writer) error) {
	b.file(name, func(w io.Writer) error {
		var content bytes.Buffer
		if err := write(&content); err != nil {
			return err
		}
		_, err := io.WriteString(w, b.redactor.redact(content.String()))
		return err
	})
}

func (b *bundle) json(name string, value func() (any, error)) {
	b.text(name, func(w io.Writer) error {
		v, err := value()
		if err != nil {
			return err
		}
		encoder := json.NewEncoder(w)
		encoder.SetIndent("", "  ")
		return encoder.Encode(v)
	})
}

func (b *bundle) add(name string, content []byte) {
	if b.err != nil {
		return
	}
	b.err = b.tar.WriteHeader(&tar.Header{Name: b.dir + "/" + name, Mode: 0o600, Size: int64(len(content)), ModTime: b.now})
	if b.err == nil {
		_, b.err = b.tar.Write(content)
	}
}
