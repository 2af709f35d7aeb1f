package toolchain

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// npm is a fake registry: packages by name and version.
type npm struct {
	t        *testing.T
	archives map[string][]byte // by path
	versions map[string]map[string]any
	change   func(w http.ResponseWriter, r *http.Request) bool // may answer instead of npm
	asked    atomic.Int64                                      // requested archives
}

func newNPM(t *testing.T) (*npm, *httptest.Server) {
	n := &npm{t: t, archives: map[string][]byte{}, versions: map[string]map[string]any{}}
	server := httptest.NewServer(n)
	t.Cleanup(server.Close)
	return n, server
}

// publish adds a release with an archive of files by their complete paths.
func (n *npm) publish(name, version string, files map[string]string) {
	n.t.Helper()
	archive := pack(n.t, files)
	sum := sha512.Sum512(archive)
	n.publishAs(name, version, archive, "sha1-xyz sha512-"+base64.StdEncoding.EncodeToString(sum[:]))
}

func (n *npm) publishAs(name, version string, archive []byte, integrity string) {
	path := "/" + name + "/-/" + version + ".tgz"
	n.archives[path] = archive
	if n.versions[name] == nil {
		n.versions[name] = map[string]any{}
	}
	n.versions[name][version] = map[string]any{"dist": map[string]any{"tarball": DefaultRegistry + path, "integrity": integrity}}
}

func (n *npm) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if n.change != nil && n.change(w, r) {
		return
	}
	if archive, ok := n.archives[r.URL.Path]; ok {
		n.asked.Add(1)
		w.Write(archive)
		return
	}
	versions, ok := n.versions[strings.TrimPrefix(r.URL.Path, "/")]
	if !ok {
		http.NotFound(w, r)
		return
	}
	if r.Header.Get("Accept") != "application/vnd.npm.install-v1+json" {
		n.t.Errorf("metadata was asked for as %q", r.Header.Get("Accept"))
	}
	json.NewEncoder(w).Encode(map[string]any{"versions": versions})
}

func pack(t *testing.T, files map[string]string) []byte {
	t.Helper()
	var buf bytes.Buffer
	zip := gzip.NewWriter(&buf)
	out := tar.NewWriter(zip)
	for path, content := range files {
		mode := int64(0o644)
		if strings.HasSuffix(path, "bin/node") {
			mode = 0o755
		}
		if err := out.WriteHeader(&tar.Header{Name: path, Mode: mode, Size: int64(len(content)), Typeflag: tar.TypeReg}); err != nil {
			t.Fatal(err)
		}
		out.Write([]byte(content))
	}
	out.Close()
	zip.Close()
	return buf.Bytes()
}

func open(t *testing.T, server *httptest.Server, dir string) *Toolchain {
	t.Helper()
	chain, err := New(Options{Dir: dir, Registry: server.URL + "/", Backoff: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	return chain
}

func nodeName(t *testing.T) string {
	t.Helper()
	name, err := nodePackage(runtime.GOOS, runtime.GOARCH)
	if err != nil {
		t.Skip(err)
	}
	return name
}

func TestNodeIsTheNewestReleaseOfItsMajorVersion(t *testing.T) {
	registry, server := newNPM(t)
	name := nodeName(t)
	for _, v := range []string{"22.9.0", "22.10.1", "22.2.0", "23.0.0", "22.99.0-nightly"} {
		registry.publish(name, v, map[string]string{"package/bin/node": v, "package/LICENSE": "MIT", "package/include/node.h": "x"})
	}
	path, err := open(t, server, filepath.Join(t.TempDir(), "runtimes")).Node(t.Context(), 22)
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(path)
	if err != nil || string(got) != "22.10.1" {
		t.Errorf("the binary is %q (%v), want that of 22.10.1", got, err)
	}
	if info, _ := os.Stat(path); info.Mode().Perm() != 0o755 {
		t.Errorf("the binary's mode is %v, want 0755", info.Mode().Perm())
	}
	top := filepath.Dir(filepath.Dir(path))
	var kept []string
	filepath.WalkDir(top, func(path string, d os.DirEntry, _ error) error {
		if !d.IsDir() {
			rel, _ := filepath.Rel(top, path)
			kept = append(kept, rel)
		}
		return nil
	})
	if diff := cmp.Diff([]string{"LICENSE", "bin/node"}, kept); diff != "" {
		t.Errorf("what is kept of the package (-want +got):\n%s", diff)
	}
}

func TestInstalledPackagesNeedNoNetwork(t *testing.T) {
	registry, server := newNPM(t)
	registry.publish("pkg", "1.2.3", map[string]string{"package/a/b.js": "hello"})
	dir := t.TempDir()
	if _, err := open(t, server, dir).Package(t.Context(), "pkg", "1"); err != nil {
		t.Fatal(err)
	}
	server.Close()
	got, err := open(t, server, dir).Package(t.Context(), "pkg", "^1.2.0")
	if err != nil {
		t.Fatal(err)
	}
	if content, _ := os.ReadFile(filepath.Join(got, "a", "b.js")); string(content) != "hello" {
		t.Errorf("the package holds %q", content)
	}
	_, err = open(t, server, dir).Package(t.Context(), "pkg", "2")
	if !errors.Is(err, ErrOffline) {
		t.Errorf("a version that is not here: %v, want ErrOffline", err)
	}
}

func TestADamagedInstalledPackageIsFetchedAgain(t *testing.T) {
	registry, server := newNPM(t)
	registry.publish("pkg", "1.2.3", map[string]string{"package/a/b.js": "hello", "package/c.js": "there"})
	for name, damage := range map[string]func(dir string) error{
		"altered":    func(dir string) error { return os.WriteFile(filepath.Join(dir, "a", "b.js"), []byte("jello"), 0o644) },
		"missing":    func(dir string) error { return os.Remove(filepath.Join(dir, "c.js")) },
		"added":      func(dir string) error { return os.WriteFile(filepath.Join(dir, "d.js"), nil, 0o644) },
		"executable": func(dir string) error { return os.Chmod(filepath.Join(dir, "c.js"), 0o755) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			installed, err := open(t, server, dir).Package(t.Context(), "pkg", "1")
			if err != nil {
				t.Fatal(err)
			}
			before, err := sum(installed)
			if err != nil {
				t.Fatal(err)
			}
			if err := damage(installed); err != nil {
				t.Fatal(err)
			}
			again, err := open(t, server, dir).Package(t.Context(), "pkg", "1")
			if err != nil {
				t.Fatal(err)
			}
			if after, err := sum(again); after != before {
				t.Errorf("the package is %s (%v), want %s", after, err, before)
			}
		})
	}
}

func TestAPackageWithAWrongDigestIsRefused(t *testing.T) {
	good := pack(t, map[string]string{"package/x": "x"})
	sum := sha512.Sum512(good)
	integrity := "sha512-" + base64.StdEncoding.EncodeToString(sum[:])
	for name, c := range map[string]struct {
		archive   []byte
		integrity string
		want      error
	}{
		"other content":    {pack(t, map[string]string{"package/x": "y"}), integrity, ErrIntegrity},
		"truncated":        {good[:len(good)/2], integrity, ErrIntegrity},
		"nothing promised": {good, "", ErrIntegrity},
		"only SHA-1":       {good, "sha1-2jmj7l5rSw0yVb/vlWAYkK/YBwk=", ErrIntegrity},
	} {
		t.Run(name, func(t *testing.T) {
			registry, server := newNPM(t)
			registry.publishAs("pkg", "1.0.0", c.archive, c.integrity)
			dir := t.TempDir()
			_, err := open(t, server, dir).Package(t.Context(), "pkg", "")
			if !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
			if left, _ := os.ReadDir(dir); len(left) != 0 {
				t.Errorf("it left %v behind", left)
			}
		})
	}
}

func TestHostileArchivesWriteNothingOutside(t *testing.T) {
	for _, path := range []string{"package/../../evil", "/etc/evil", "package/a/../../../evil", "evil", "package/./x", `package/a\..\b`, "../evil"} {
		t.Run(path, func(t *testing.T) {
			registry, server := newNPM(t)
			registry.publish("pkg", "1.0.0", map[string]string{path: "evil"})
			parent := t.TempDir()
			_, err := open(t, server, filepath.Join(parent, "runtimes")).Package(t.Context(), "pkg", "")
			if err == nil {
				t.Error("it was accepted")
			}
			if _, err := os.Stat(filepath.Join(parent, "evil")); err == nil {
				t.Error("it wrote outside")
			}
		})
	}
}

func TestLinksInAnArchiveAreLeftOut(t *testing.T) {
	var buf bytes.Buffer
	zip := gzip.NewWriter(&buf)
	out := tar.NewWriter(zip)
	out.WriteHeader(&tar.Header{Name: "package/link", Linkname: "/etc", Typeflag: tar.TypeSymlink})
	out.WriteHeader(&tar.Header{Name: "package/link/passwd", Size: 1, Mode: 0o644, Typeflag: tar.TypeReg})
	out.Write([]byte("x"))
	out.Close()
	zip.Close()
	dir := filepath.Join(t.TempDir(), "out")
	if err := unpack(t.Context(), &buf, dir, func(string) bool { return true }); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Lstat(filepath.Join(dir, "link")); err != nil || !info.IsDir() {
		t.Errorf("link is %v (%v), want a directory of the package's own", info, err)
	}
}

func TestConcurrentCallsFetchOnce(t *testing.T) {
	registry, server := newNPM(t)
	registry.publish("pkg", "1.0.0", map[string]string{"package/x": "x"})
	chain := open(t, server, t.TempDir())
	both(t, chain, chain)
	if n := registry.asked.Load(); n != 1 {
		t.Errorf("the archive was fetched %d times, want once", n)
	}
}

func TestTwoProcessesMayFetchTheSamePackage(t *testing.T) {
	registry, server := newNPM(t)
	registry.publish("pkg", "1.0.0", map[string]string{"package/x": "x"})
	var barrier sync.WaitGroup
	barrier.Add(2)
	registry.change = func(_ http.ResponseWriter, r *http.Request) bool {
		if strings.HasSuffix(r.URL.Path, ".tgz") {
			barrier.Done()
			barrier.Wait() // both have decided to fetch
		}
		return false
	}
	dir := t.TempDir()
	both(t, open(t, server, dir), open(t, server, dir))
	entries, _ := os.ReadDir(dir)
	if len(entries) != 2 {
		t.Errorf("the directory holds %v, want the package and its digest alone", entries)
	}
}

func both(t *testing.T, chains ...*Toolchain) {
	t.Helper()
	var group sync.WaitGroup
	for _, chain := range chains {
		group.Go(func() {
			dir, err := chain.Package(t.Context(), "pkg", "")
			if err != nil {
				t.Error(err)
			}
			if _, err := os.Stat(filepath.Join(dir, "x")); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
}

func TestTemporaryFaultsAreRetried(t *testing.T) {
	registry, server := newNPM(t)
	registry.publish("pkg", "1.0.0", map[string]string{"package/x": strings.Repeat("x", 1<<16)})
	var faults atomic.Int64
	registry.change = func(w http.ResponseWriter, r *http.Request) bool {
		if faults.Add(1)%2 == 0 {
			return false
		}
		if strings.HasSuffix(r.URL.Path, ".tgz") { // cut off in the middle
			w.Header().Set("Content-Length", "100000")
			w.Write([]byte("half"))
			panic(http.ErrAbortHandler)
		}
		w.WriteHeader(http.StatusBadGateway)
		return true
	}
	if _, err := open(t, server, t.TempDir()).Package(t.Context(), "pkg", ""); err != nil {
		t.Error(err)
	}
}

func TestRetriesAreBoundedAndAMissingPackageIsFinal(t *testing.T) {
	registry, server := newNPM(t)
	var asked atomic.Int64
	status := http.StatusServiceUnavailable
	registry.change = func(w http.ResponseWriter, _ *http.Request) bool {
		asked.Add(1)
		w.WriteHeader(status)
		return true
	}
	chain := open(t, server, t.TempDir())
	if _, err := chain.Package(t.Context(), "pkg", ""); !errors.Is(err, ErrOffline) || asked.Load() != maxTries {
		t.Errorf("got %v after %d tries, want ErrOffline after %d", err, asked.Load(), maxTries)
	}
	asked.Store(0)
	status = http.StatusNotFound
	if _, err := chain.Package(t.Context(), "pkg", ""); !errors.Is(err, ErrPackage) || asked.Load() != 1 {
		t.Errorf("got %v after %d tries, want ErrPackage after 1", err, asked.Load())
	}
}

func TestEndingTheContextAbandonsTheFetch(t *testing.T) {
	registry, server := newNPM(t)
	registry.publish("pkg", "1.0.0", map[string]string{"package/x": "x"})
	ctx, cancel := context.WithCancelCause(t.Context())
	stop := errors.New("enough")
	registry.change = func(_ http.ResponseWriter, r *http.Request) bool {
		if strings.HasSuffix(r.URL.Path, ".tgz") {
			cancel(stop)
			<-r.Context().Done()
		}
		return false
	}
	if _, err := open(t, server, t.TempDir()).Package(ctx, "pkg", ""); !errors.Is(err, stop) {
		t.Errorf("got %v, want the context's cause", err)
	}
}

func TestEndingTheContextAbandonsTheUnpacking(t *testing.T) {
	registry, server := newNPM(t)
	noise := make([]byte, 1<<20) // incompressible
	rand.NewChaCha8([32]byte{}).Read(noise)
	registry.publish("pkg", "1.0.0", map[string]string{"package/x": string(noise)})
	ctx, cancel := context.WithCancelCause(t.Context())
	stop := errors.New("enough")
	dir := t.TempDir()
	_, err := open(t, server, dir).install(ctx, "pkg", "", func(string) bool {
		cancel(stop)
		return true
	})
	if !errors.Is(err, stop) {
		t.Errorf("got %v, want the context's cause", err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("it left %v, %v", left, err)
	}
}

func TestLargeFilesAreUnpackedWhole(t *testing.T) {
	for _, size := range []int{syncEvery - 1, syncEvery, 2*syncEvery + 1} {
		want := bytes.Repeat([]byte("lateen\n"), size/7+1)[:size]
		dir := filepath.Join(t.TempDir(), "out")
		archive := pack(t, map[string]string{"package/x": string(want)})
		if err := unpack(t.Context(), bytes.NewReader(archive), dir, func(string) bool { return true }); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(filepath.Join(dir, "x")); err != nil || !bytes.Equal(got, want) {
			t.Errorf("of %d bytes there are %d, %v", size, len(got), err)
		}
	}
}

func TestOnlyAbandonedDownloadsAreSwept(t *testing.T) {
	registry, server := newNPM(t)
	registry.publish("pkg", "1.0.0", map[string]string{"package/x": "x"})
	dir := t.TempDir()
	old, young := filepath.Join(dir, unfinished+"old"), filepath.Join(dir, unfinished+"young")
	for _, path := range []string{old, young} {
		if err := os.MkdirAll(filepath.Join(path, "package"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	past := time.Now().Add(-2 * abandonedAfter)
	if err := os.Chtimes(old, past, past); err != nil {
		t.Fatal(err)
	}
	if _, err := open(t, server, dir).Package(t.Context(), "pkg", ""); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(old); err == nil {
		t.Error("the abandoned download is still there")
	}
	if _, err := os.Stat(young); err != nil {
		t.Error("a download under way was removed")
	}
}

func TestProgressReachesTheTotal(t *testing.T) {
	registry, server := newNPM(t)
	registry.publish("pkg", "1.0.0", map[string]string{"package/x": "x"})
	var last Progress
	chain, err := New(Options{Dir: t.TempDir(), Registry: server.URL, Progress: func(p Progress) { last = p }})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := chain.Package(t.Context(), "pkg", ""); err != nil {
		t.Fatal(err)
	}
	size := int64(len(registry.archives["/pkg/-/1.0.0.tgz"]))
	if diff := cmp.Diff(Progress{Package: "pkg@1.0.0", Done: size, Total: size}, last); diff != "" {
		t.Errorf("the last progress (-want +got):\n%s", diff)
	}
}

func TestScopedPackagesAndBadNames(t *testing.T) {
	registry, server := newNPM(t)
	registry.publish("@scope/pkg", "1.0.0", map[string]string{"package/x": "x"})
	chain := open(t, server, t.TempDir())
	if _, err := chain.Package(t.Context(), "@scope/pkg", ""); err != nil {
		t.Error(err)
	}
	for _, name := range []string{"", ".", "..", "../x", "@scope", "scope/pkg", "@a/b/c", "A", "a b", "a%2fb", "@/x"} {
		if _, err := chain.Package(t.Context(), name, ""); !errors.Is(err, ErrPackage) {
			t.Errorf("%q: %v, want ErrPackage", name, err)
		}
	}
}

func TestRanges(t *testing.T) {
	for _, c := range []struct {
		versions string
		admits   []string
		refuses  []string
	}{
		{"", []string{"0.0.1", "99.0.0"}, nil},
		{"22", []string{"22.0.0", "22.9.9"}, []string{"2.2.0", "23.0.0"}},
		{"1.2", []string{"1.2.0", "1.2.9"}, []string{"1.20.0", "1.3.0"}},
		{"1.2.3", []string{"1.2.3"}, []string{"1.2.4"}},
		{"^1.2.3", []string{"1.2.3", "1.9.0"}, []string{"1.2.2", "2.0.0"}},
		{"^0.2.3", []string{"0.2.9"}, []string{"0.3.0", "0.2.2"}},
		{"^0.0.3", []string{"0.0.3"}, []string{"0.0.4"}},
	} {
		r, err := parseRange(c.versions)
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range append(c.admits, c.refuses...) {
			v, _ := parseVersion(text)
			if want := !slices.Contains(c.refuses, text); r.admits(v) != want {
				t.Errorf("%q admits %s: %v, want %v", c.versions, text, r.admits(v), want)
			}
		}
	}
	for _, bad := range []string{"x", "1.", "01.2.3", "1.2.3.4", "^1", "1.2.3-rc.1", "-1", ">=1"} {
		if _, err := parseRange(bad); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
}

func FuzzUnpack(f *testing.F) {
	f.Add([]byte("not an archive"))
	var buf bytes.Buffer
	zip := gzip.NewWriter(&buf)
	tar.NewWriter(zip).WriteHeader(&tar.Header{Name: "package/../x", Size: 0, Typeflag: tar.TypeReg})
	zip.Close()
	f.Add(buf.Bytes())
	f.Fuzz(func(t *testing.T, archive []byte) {
		parent := t.TempDir()
		unpack(t.Context(), bytes.NewReader(archive), filepath.Join(parent, "out"), func(string) bool { return true })
		if entries, _ := os.ReadDir(parent); len(entries) > 1 {
			t.Errorf("it wrote beside its directory: %v", entries)
		}
	})
}
