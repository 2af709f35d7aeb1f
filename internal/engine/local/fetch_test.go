package local

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/lateen-dev/lateen/internal/toolchain"
)

// nodeRegistry serves an npm registry with nearly empty Node.js packages.
func nodeRegistry(t *testing.T, versions ...string) *httptest.Server {
	t.Helper()
	var packed bytes.Buffer
	zipped := gzip.NewWriter(&packed)
	archive := tar.NewWriter(zipped)
	for _, name := range []string{"package/bin/node", "package/LICENSE"} {
		if err := archive.WriteHeader(&tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o755, Size: 1}); err != nil {
			t.Fatal(err)
		}
		if _, err := archive.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	if err := archive.Close(); err != nil {
		t.Fatal(err)
	}
	if err := zipped.Close(); err != nil {
		t.Fatal(err)
	}
	sum := sha512.Sum512(packed.Bytes())
	var server *httptest.Server
	server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, ".tgz") {
			w.Write(packed.Bytes())
			return
		}
		all := map[string]any{}
		for _, v := range versions {
			all[v] = map[string]any{"version": v, "dist": map[string]any{
				"tarball":   server.URL + "/" + v + ".tgz",
				"integrity": "sha512-" + base64.StdEncoding.EncodeToString(sum[:]),
			}}
		}
		if err := json.NewEncoder(w).Encode(map[string]any{"name": strings.TrimPrefix(r.URL.Path, "/"), "versions": all}); err != nil {
			t.Error(err)
		}
	}))
	t.Cleanup(server.Close)
	return server
}

func TestRuntimesAreDownloadedBeforeTheFirstRequest(t *testing.T) {
	registry := nodeRegistry(t, "22.1.0", "24.1.0")
	dir := filepath.Join(t.TempDir(), "runtimes")
	tools, err := toolchain.New(toolchain.Options{Dir: dir, Registry: registry.URL})
	if err != nil {
		t.Fatal(err)
	}
	o := fixture(t)
	o.Toolchain = tools
	e, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	e.downloadRuntimes(t.Context())
	registry.Close()
	for _, major := range nodeVersions() {
		if _, err := tools.Node(t.Context(), major); err != nil {
			t.Errorf("Node.js %d was not downloaded: %v", major, err)
		}
	}
}

func TestAnUnavailableRegistryIsRetriedUntilTheEngineEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		asked := 0
		tools, err := toolchain.New(toolchain.Options{Dir: t.TempDir(), Client: &http.Client{Transport: transport(func(*http.Request) (*http.Response, error) {
			if asked++; asked == 20 {
				cancel()
			}
			return nil, http.ErrServerClosed
		})}})
		if err != nil {
			t.Fatal(err)
		}
		o := fixture(t)
		o.Toolchain = tools
		e, err := New(o)
		if err != nil {
			t.Fatal(err)
		}
		e.downloadRuntimes(ctx)
		if asked < 20 {
			t.Errorf("the engine gave up after %d attempts", asked)
		}
	})
}

// transport is an [http.RoundTripper].
type transport func(*http.Request) (*http.Response, error)

func (f transport) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
