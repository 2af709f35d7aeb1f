// Package build turns an upload into a durable manifest and everything it names.
package build

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
	// Dir is where the builder remembers how files were compressed. It may be
	// emptied at any time; "" remembers nothing.
	Dir string
	Log *slog.Logger

	MaxFiles int   // of an unpacked archive; 0 is 100,000
	MaxBytes int64 // of an unpacked archive; 0 is 4 GiB
	CPUs     int   // how many files of one team are compressed at once; 0 is all there are

	// Provide sees to it that the runtime of a function is on this host, which may
	// have to fetch it. nil takes every runtime for there.
	Provide func(ctx context.Context, f *lateen.Function) error

	// CPUTime is how much of a processor's time the compression of one
	// deployment's files may take; the rest is served as it is. 0 is 10 minutes.
	CPUTime time.Duration
}

// Builder assembles deployments. Its methods may be called concurrently.
type Builder struct {
	Options

	memory memory
	slots  *share.Places[string] // held while compressing
	loaded *semaphore.Weighted   // bytes of files that are being compressed or kept
}

// inFlight is how many files one assembly moves at once. Durable writes wait
// for the disk, which serves many of them together as fast as one.
const inFlight = 16

// maxSlotsQueue is how many files of all assemblies may wait to be compressed:
// far more than assemblies in progress move at once.
const maxSlotsQueue = 1 << 16

// New returns a builder.
func New(o Options) (*Builder, error) {
	if o.Artifacts == nil || o.Trees == nil || o.Log == nil {
		return nil, errors.New("build: a required option is missing")
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
		memory:  memory{dir: o.Dir},
		slots:   share.NewPlaces[string](2*o.CPUs, maxSlotsQueue), // of which one team has half
		loaded:  semaphore.NewWeighted(4 * maxCompressed),
	}, nil
}

// NoticePrefix begins the warnings of a build log: each names a part of the output
// that the platform serves in another way than asked, or not.
const NoticePrefix = "Notice: "

// Assemble turns src, whose content is kept, into a manifest, and returns it
// with its digest once it and everything it names are durable and the functions
// are laid out. log receives the lines of the build log. An error that is a
// [lateen.Error] is the user's to mend; whatever the error, nothing refers to
// what was kept on the way, so that it can be swept.
func (b *Builder) Assemble(ctx context.Context, src lateen.Source, log func(text string)) (lateen.Digest, *lateen.Manifest, error) {
	files, err := b.unpack(ctx, src.Files, src.Kept, log)
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
	digest, err := artifact.WriteJSON(ctx, b.Artifacts, out.Manifest)
	if err != nil {
		return "", nil, fmt.Errorf("keep the manifest: %w", err)
	}
	if err := b.memory.clean(ctx, b.Artifacts); err != nil {
		b.Log.WarnContext(ctx, "what is remembered of compressed files could not be cleaned", "err", err)
	}
	return digest, out.Manifest, nil
}

// read reads the build output, compiles its routes to prove them, and logs what it is.
func (b *Builder) read(ctx context.Context, files []lateen.SourceFile, src lateen.Source, log func(string)) (*buildoutput.Output, error) {
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
	out, err := buildoutput.Read(upload, buildoutput.Options{Root: src.Root, Target: src.Target})
	if err != nil {
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
		log(NoticePrefix + count(n, "cron job") + " will not be run: this platform has no scheduler yet. Have another one ask for the path of each")
	}
	return out, nil
}

// layOut keeps the trees of the functions and makes their directories.
func (b *Builder) layOut(ctx context.Context, trees map[lateen.Digest]*lateen.Tree, log func(string)) error {
	if len(trees) == 0 {
		return nil
	}
	began, files := time.Now(), 0
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(inFlight)
	for digest, tree := range trees {
		files += len(tree.Entries)
		g.Go(func() error {
			if _, err := artifact.WriteJSON(ctx, b.Artifacts, tree); err != nil {
				return fmt.Errorf("keep a function's tree: %w", err)
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

// count says how many things there are: 1 file, 2 files.
func count(n int, thing string) string {
	if n != 1 {
		thing += "s"
	}
	return strconv.Itoa(n) + " " + thing
}

func took(began time.Time) string {
	return time.Since(began).Round(time.Millisecond).String()
}

// size says bytes in the unit that fits: 12.3 MB.
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
