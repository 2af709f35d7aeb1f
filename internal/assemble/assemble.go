// Package assemble turns an upload into a durable manifest and the artifacts that it
// names.
package assemble

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"runtime"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/artifact"
	"github.com/lateen-dev/lateen/internal/buildoutput"
	"github.com/lateen-dev/lateen/internal/route"
	"github.com/lateen-dev/lateen/internal/share"
)

// Options of a [Builder]. Fields without a stated zero are required.
type Options struct {
	Artifacts artifact.Store
	Trees     *artifact.Trees
	// Dir is the builder's cache of compression results. It may be emptied at any
	// time; "" disables the cache.
	Dir string
	Log *slog.Logger

	MaxFiles int   // limit for an unpacked archive; 0 is 100,000
	MaxBytes int64 // limit for an unpacked archive; 0 is 4 GiB
	CPUs     int   // concurrent compressions of one team; 0 is all processors

	// Provide ensures that the runtime of a function is installed on this host, and
	// may fetch it. nil takes every runtime as installed.
	Provide func(ctx context.Context, f *lateen.Function) error

	// CPUTime limits the processor time for the compression of one deployment's
	// files; the rest is served uncompressed. 0 is 10 minutes.
	CPUTime time.Duration
}

// Builder assembles deployments. Its methods are safe for concurrent use.
type Builder struct {
	Options

	cache  compressionCache
	slots  *share.Places[string] // held during a compression
	loaded *semaphore.Weighted   // bytes of files being compressed or stored
}

// inFlight is the number of files that one assembly transfers concurrently. Durable
// writes wait for the disk, which serves many of them as fast as one.
const inFlight = 16

// maxSlotsQueue is the number of files of all assemblies that may wait for
// compression: far more than concurrent assemblies transfer.
const maxSlotsQueue = 1 << 16

// New returns a builder.
func New(o Options) (*Builder, error) {
	if o.Artifacts == nil || o.Trees == nil || o.Log == nil {
		return nil, errors.New("assemble: a required option is missing")
	}
	if o.MaxFiles == 0 {
		o.MaxFiles = 100_000
	}
	if o.MaxBytes == 0 {
		o.MaxBytes = 4 << 30
	}
	if o.CPUs == 0 {
		o.CPUs = runtime.GOMAXPROCS(0)
	}
	if o.CPUTime == 0 {
		o.CPUTime = 10 * time.Minute
	}
	return &Builder{
		Options: o,
		cache:   compressionCache{dir: o.Dir},
		slots:   share.NewPlaces[string](2*o.CPUs, maxSlotsQueue), // one team has half of them
		loaded:  semaphore.NewWeighted(4 * maxCompressed),
	}, nil
}

// NoticePrefix begins the warnings of a build log. Each warning names a part of the
// output that the platform does not serve or serves differently.
const NoticePrefix = "Notice: "

// Assemble turns src, whose content is already stored, into a manifest. It returns
// the manifest and its digest when the manifest and its artifacts are durable and
// the functions are laid out. log receives the lines of the build log. An error of
// type [lateen.Error] is caused by the user's input. After an error, the artifacts
// stored so far are unreferenced, so they can be swept.
func (b *Builder) Assemble(ctx context.Context, src lateen.Source, log func(text string)) (lateen.Digest, *lateen.Manifest, error) {
	files, err := b.unpack(ctx, src.Files, src.OnStore, log)
	if err != nil {
		return "", nil, err
	}
	out, err := b.read(ctx, files, src, log)
	if err != nil {
		return "", nil, err
	}
	if err := b.layOut(ctx, out.Trees, log); err != nil {
		return "", nil, err
	}
	if err := b.provide(ctx, out.Manifest.Functions, log); err != nil {
		return "", nil, err
	}
	if err := b.compress(ctx, src.Tenants, out.Manifest.Files, log); err != nil {
		return "", nil, err
	}
	storing, end := lateen.StartSpan(ctx, "store the manifest")
	digest, err := artifact.WriteJSON(storing, b.Artifacts, out.Manifest)
	end(&err)
	if err != nil {
		return "", nil, fmt.Errorf("store the manifest: %w", err)
	}
	if err := b.cache.clean(ctx, b.Artifacts); err != nil {
		b.Log.WarnContext(ctx, "the cache of compressed files could not be cleaned", "err", err)
	}
	return digest, out.Manifest, nil
}

// read reads the build output, compiles its routes to validate them, and logs a
// summary.
func (b *Builder) read(ctx context.Context, files []lateen.SourceFile, src lateen.Source, log func(string)) (out *buildoutput.Output, err error) {
	ctx, end := lateen.StartSpan(ctx, "read the build output")
	defer end(&err)
	upload := buildoutput.Source{
		Files: make(map[string]buildoutput.File, len(files)),
		Open: func(blob lateen.Blob) (io.ReadCloser, error) {
			return b.Artifacts.Open(ctx, blob.Digest)
		},
	}
	for _, f := range files {
		mode := f.Mode
		if mode == 0 {
			mode = 0o644
		}
		upload.Files[f.Path] = buildoutput.File{Blob: f.Blob, Mode: mode, Link: f.Link}
	}
	if out, err = buildoutput.Read(upload, buildoutput.Options{Root: src.Root, Target: src.Target}); err != nil {
		return nil, err
	}
	m := out.Manifest
	if _, err := route.Prove(m); err != nil {
		return nil, err
	}
	log(fmt.Sprintf("Read the build output: %s, %s, %s behind %s, %s",
		count(len(m.Routes), "route"), count(len(m.Files), "static file"), count(len(m.Functions), "function"),
		count(len(m.Outputs), "path"), count(len(m.Prerenders), "prerendered path")))
	for _, notice := range slices.Concat(out.Notices, configNotices(src.Config, src.Root, files)) {
		log(NoticePrefix + notice)
	}
	if n := len(m.Crons); n > 0 {
		log(NoticePrefix + count(n, "cron job") + " will not be run: this platform has no scheduler yet. Request their paths with another scheduler")
	}
	return out, nil
}

// layOut stores the trees of the functions and creates their directories.
func (b *Builder) layOut(ctx context.Context, trees map[lateen.Digest]*lateen.Tree, log func(string)) (err error) {
	if len(trees) == 0 {
		return nil
	}
	ctx, end := lateen.StartSpan(ctx, "lay out functions")
	defer end(&err)
	began, files := time.Now(), 0
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(inFlight)
	for digest, tree := range trees {
		files += len(tree.Entries)
		g.Go(func() error {
			if _, err := artifact.WriteJSON(ctx, b.Artifacts, tree); err != nil {
				return fmt.Errorf("store a function's tree: %w", err)
			}
			_, err := b.Trees.Dir(ctx, digest)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	log(fmt.Sprintf("Laid out %s with %s in %s", count(len(trees), "function tree"), count(files, "file"), took(began)))
	return nil
}

// count returns a number with a noun: 1 file, 2 files.
func count(n int, thing string) string {
	if n != 1 {
		thing += "s"
	}
	return strconv.Itoa(n) + " " + thing
}

func took(began time.Time) string {
	return time.Since(began).Round(time.Millisecond).String()
}

// size returns bytes in a suitable unit: 12.3 MB.
func size(bytes int64) string {
	switch {
	case bytes < 1000:
		return strconv.FormatInt(bytes, 10) + " B"
	case bytes < 1_000_000:
		return strconv.FormatFloat(float64(bytes)/1e3, 'f', 1, 64) + " kB"
	default:
		return strconv.FormatFloat(float64(bytes)/1e6, 'f', 1, 64) + " MB"
	}
}
