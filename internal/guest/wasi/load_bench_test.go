package wasi

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"

	"github.com/lateen-dev/lateen/internal/guest"
	"github.com/lateen-dev/lateen/test/wasm"
)

// BenchmarkLoad measures the time from a process's activation to its first request: it
// loads the module of LATEEN_TEST_MODULE, or one of a few hundred bytes, from a code
// cache.
func BenchmarkLoad(b *testing.B) {
	root, dir := b.TempDir(), b.TempDir()
	code := wasm.Hello("hello", "")
	if file := os.Getenv("LATEEN_TEST_MODULE"); file != "" {
		var err error
		if code, err = os.ReadFile(file); err != nil {
			b.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(root, "hello.wasm"), code, 0o644); err != nil {
		b.Fatal(err)
	}
	b.Setenv("TMPDIR", b.TempDir())
	spec := guest.Activate{Root: root, Handler: "hello.wasm", Memory: 1024, Record: true}
	c, err := newCompiler(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	m, err := c.load(b.Context(), &spec, func() {})
	if err != nil {
		b.Fatal(err)
	}
	var packed bytes.Buffer
	if err := m.pack(&packed); err != nil {
		b.Fatal(err)
	}
	index := packed.Bytes()[4:][:binary.LittleEndian.Uint32(packed.Bytes())]
	name := filepath.Join(dir, string(bytes.Split(index, []byte{'"'})[1]))
	if err := os.Mkdir(filepath.Dir(name), 0o755); err != nil {
		b.Fatal(err)
	}
	if err := os.WriteFile(name, packed.Bytes()[4+len(index):], 0o644); err != nil {
		b.Fatal(err)
	}
	spec.Record, spec.Archive = false, &guest.Archive{Dir: dir, Modules: true}
	for b.Loop() {
		b.StopTimer()
		c, err := newCompiler(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
		if _, err := c.load(b.Context(), &spec, func() { b.Error("it compiles the module") }); err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		_ = c.runtime.Close(b.Context())
		b.StartTimer()
	}
}
