// Package toolchain provides the programs with which Lateen runs user code: it
// downloads them as packages of the npm registry, verifies their integrity hashes and
// keeps them for later runs, which need no network.
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

// DefaultRegistry is the registry of packages unless an operator configures another.
const DefaultRegistry = "https://registry.npmjs.org"

// abandonedAfter is the age at which a partly unpacked package counts as left by a
// process that died, and not as the work of a running one.
const abandonedAfter = time.Hour

// Errors of fetching a package.
var (
	ErrOffline   = &lateen.Error{Code: lateen.Unavailable, Reason: "registry_unreachable", Message: "the package registry cannot be reached", Hint: "check the network, or set NPM_CONFIG_REGISTRY to a registry this machine reaches"}
	ErrIntegrity = &lateen.Error{Code: lateen.Unavailable, Reason: "package_integrity", Message: "the package does not have the digest that the registry gives", Hint: "try again; if it fails again, check the proxies between this machine and the registry"}
	ErrPackage   = &lateen.Error{Code: lateen.NotFound, Reason: "package_not_found", Message: "package not found in the registry"}
)

// Progress is the progress of a download. Total is 0 while unknown.
type Progress struct {
	Package     string // bytes
	Done, Total int64  // bytes
}

// Options are the settings of a [Toolchain].
type Options struct {
	// Dir is the directory of downloaded packages. Required; created when missing.
	Dir string
	// Registry is the base URL of the npm registry; "" is [DefaultRegistry].
	Registry string
	// Client sends the requests; nil is a default client, which honours the proxy
	// variables of the environment.
	Client *http.Client
	// Progress is called during downloads by the requesting goroutine; nil: no calls.
	Progress func(Progress)
	// Backoff is the wait before the second try of a request; it doubles for each
	// further try. 0 is half a second.
	Backoff time.Duration
}

// Toolchain finds and fetches programs. Its methods may be called concurrently, also by
// several processes that share a directory.
type Toolchain struct {
	options  Options
	registry registry
	fetching chan struct{} // holds a token while a package is fetched: one at a time

	mu       sync.Mutex      // guards verified, and is held while a package is read
	verified map[string]bool // installed packages by directory
}

// New returns a toolchain. It uses neither disk nor network.
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

// Node returns the path of a Node.js binary of the given major version: the newest
// installed one, or the newest one of the registry if none is installed.
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

// Bun returns the path of a Bun binary of version 1: the newest installed one, or the
// newest one of the registry if none is installed.
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

// bunPackage returns the name of the package with the Bun binary of a platform.
func bunPackage(goos, goarch string) (string, error) {
	arch, ok := map[string]string{"amd64": "x64", "arm64": "aarch64"}[goarch]
	if !ok || goos != "linux" && goos != "darwin" {
		return "", ErrPackage.With("there is no Bun package for %s on %s", goos, goarch)
	}
	return "@oven/bun-" + goos + "-" + arch, nil
}

// Package returns the directory of the package called name with all its files: the
// newest installed version in versions, or else the newest one of the registry.
// versions is a version (1.2.3), a prefix of one (1, 1.2), a caret range (^1.2.3) or ""
// for any. Package fetches no dependencies and runs no scripts.
func (t *Toolchain) Package(ctx context.Context, name, versions string) (string, error) {
	dir, err := t.install(ctx, name, versions, func(string) bool { return true })
	if err != nil {
		return "", fmt.Errorf("get package %s: %w", name, err)
	}
	return dir, nil
}

// nodePackage returns the name of the package with the Node.js binary of a platform.
func nodePackage(goos, goarch string) (string, error) {
	arch, ok := map[string]string{"amd64": "x64", "arm64": "arm64", "ppc64le": "ppc64le", "s390x": "s390x"}[goarch]
	if !ok || goos != "linux" && goos != "darwin" {
		return "", ErrPackage.With("there is no Node.js package for %s on %s", goos, goarch)
	}
	return "node-" + goos + "-" + arch, nil
}

// install returns the directory with the files of name that keep selects.
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
	if dir, ok, err := t.find(name, want); ok || err != nil { // fetched while this call waited
		return dir, err
	}
	release, err := t.registry.newest(ctx, name, want)
	if err != nil {
		return "", err
	}
	return t.fetch(ctx, name, release, keep)
}

// find returns the newest installed version of name in want. It discards damaged ones.
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

// directory returns a package's name as one element of a path.
func directory(name string) string { return strings.ReplaceAll(name, "/", "+") }

func (t *Toolchain) place(name string, v version) string {
	return filepath.Join(t.options.Dir, directory(name)+"@"+v.String())
}

// fetch downloads, verifies and unpacks a release, and renames it to its final name
// only then: a directory with that name is complete, even after a crash.
func (t *Toolchain) fetch(ctx context.Context, name string, r release, keep func(path string) bool) (string, error) {
	if err := os.MkdirAll(t.options.Dir, 0o755); err != nil {
		return "", fmt.Errorf("make the directory of runtimes: %w", err)
	}
	if err := t.sweep(); err != nil {
		return "", err
	}
	work, err := os.MkdirTemp(t.options.Dir, unfinished)
	if err != nil {
		return "", fmt.Errorf("create a directory for %s: %w", name, err)
	}
	defer os.RemoveAll(work) //nolint:errcheck // a later sweep removes the rest
	archive, err := os.Create(filepath.Join(work, "archive"))
	if err != nil {
		return "", fmt.Errorf("create a directory for %s: %w", name, err)
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
	if err := storeDigest(unpacked, t.place(name, r.version)); err != nil {
		return "", err
	}
	return t.publish(unpacked, t.place(name, r.version))
}

// publish renames a finished directory to its final name. If another process was first,
// publish uses its directory, which has the same content.
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

// unfinished is the prefix of the names of incomplete directories.
const unfinished = ".fetch-"

// sweep removes the incomplete directories of processes that died.
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
