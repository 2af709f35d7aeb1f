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
	"path"
	"sync"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/control"
	"github.com/lateen-dev/lateen/internal/observe"
	"github.com/lateen-dev/lateen/internal/worker"
)

// debugger shows the state of the platform to operators, to one at a time. It
// implements [api.Debugger].
type debugger struct {
	process process
	of      *capabilities
	verbs   *control.Control

	busy sync.Mutex // held while a profile or a bundle is taken
}

// platformState is a summary of the platform.
type platformState struct {
	processState

	Hosts       int           `json:"hosts"`       // that lead to a deployment
	Productions int           `json:"productions"` // projects with a production deployment
	CachedBytes int64         `json:"cachedBytes"` // of cached pages, on disk
	Log         observe.Stats `json:"log"`
}

// Bounds of the part of a bundle that comes from the worker.
const (
	workerFiles   = 16
	workerTimeout = 30 * time.Second // `lateen doctor` may wait for several servers
)

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
	b := newBundle(zipped, name, now, d.process.redactor(d.process.daemon.token))
	d.process.fill(r.Context(), b, func() (any, error) { return d.state(r.Context()) })
	d.addWorker(r.Context(), b)
	return errors.Join(b.close(), zipped.Close())
}

// addWorker adds the files of the worker, if functions run on one.
func (d *debugger) addWorker(ctx context.Context, b *bundle) {
	ctx, cancel := context.WithTimeout(ctx, workerTimeout)
	defer cancel()
	archive, err := d.process.functions.Debug(ctx)
	if err == nil && archive != nil {
		err = errors.Join(b.include("worker", archive), archive.Close())
	}
	if err != nil {
		b.fault("worker", err)
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
		processState: d.process.state(), Hosts: len(hosts), Productions: len(productions), CachedBytes: d.of.pages.Used(), Log: d.of.logs.Stats(),
	}, nil
}

// maxFile is the size of the largest file of a bundle. Longer texts are cut off.
const maxFile = 16 << 20

// bundle writes files into an archive, below one directory. A failure to create one is
// the content of errors.txt.
type bundle struct {
	tar      *tar.Writer
	dir      string
	now      time.Time
	redactor redactor
	faults   bytes.Buffer // of files that could not be created
	err      error        // of the archive
}

func newBundle(w io.Writer, dir string, now time.Time, r redactor) *bundle {
	return &bundle{tar: tar.NewWriter(w), dir: dir, now: now, redactor: r}
}

// close completes the archive.
func (b *bundle) close() error {
	if b.faults.Len() > 0 {
		b.text("errors.txt", func(w io.Writer) error { _, err := b.faults.WriteTo(w); return err })
	}
	return errors.Join(b.err, b.tar.Close())
}

// fault notes why a file could not be created.
func (b *bundle) fault(name string, err error) {
	if e, ok := errors.AsType[*lateen.Error](err); ok {
		name += ": " + e.Reason
	}
	fmt.Fprintf(&b.faults, "%s: %v\n", name, err)
}

// file adds a file with the bytes that write writes.
func (b *bundle) file(name string, write func(io.Writer) error) {
	var content bytes.Buffer
	err := write(&content)
	if err == nil && content.Len() > maxFile {
		err = fmt.Errorf("it is larger than %d bytes", maxFile)
	}
	if err != nil {
		b.fault(name, err)
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
		text := b.redactor.redact(content.String())
		if len(text) > maxFile {
			text = text[:maxFile]
			b.fault(name, fmt.Errorf("it is cut off after %d bytes", maxFile))
		}
		_, err := io.WriteString(w, text)
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

// include adds the files of the bundle of a worker below a directory. Files past
// workerFiles are dropped.
func (b *bundle) include(dir string, archive io.Reader) error {
	files := tar.NewReader(archive)
	for range workerFiles {
		header, err := files.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return worker.ErrUnreachable.Because(err)
		}
		add := b.text
		if path.Ext(header.Name) == ".pprof" {
			add = b.file
		}
		add(dir+"/"+path.Base(header.Name), func(w io.Writer) error {
			_, err := io.Copy(w, io.LimitReader(files, maxFile+1))
			return err
		})
	}
	return nil
}

func (b *bundle) add(name string, content []byte) {
	if b.err != nil {
		return
	}
	b.err = b.tar.WriteHeader(&tar.Header{Name: path.Join(b.dir, name), Mode: 0o600, Size: int64(len(content)), ModTime: b.now})
	if b.err == nil {
		_, b.err = b.tar.Write(content)
	}
}
