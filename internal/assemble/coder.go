package assemble

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/bits"
	"mime"
	"runtime"
	"strings"
	"sync/atomic"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/lateen-dev/lateen/internal/cputime"
	"github.com/lateen-dev/lateen/internal/share"
)

// File sizes up to which the slower levels are used. On JavaScript and one core,
// brotli's level 10 compresses 1 MB/s and saves 6 % over level 9 at 4 MB/s, which
// saves 2 % over level 5 at 20 MB/s.
const (
	mostCare = 32 << 10
	someCare = 512 << 10
)

// zstdWindow is the largest window that a client must support (RFC 9659).
const zstdWindow = 8 << 20

// coder compresses content. Its tables are large, so an assembly releases it at its
// end.
type coder struct {
	slots   *share.Places[string] // held during a compression
	tenants []string              // tenants of the compressed content
	cpu     atomic.Int64          // remaining processor time in nanoseconds
	zstd    *zstd.Encoder
}

// newCoder returns a coder for the assembly of a deployment of tenants.
func (b *Builder) newCoder(tenants []string) (*coder, error) {
	z, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedBetterCompression),
		zstd.WithWindowSize(zstdWindow), zstd.WithEncoderConcurrency(b.CPUs))
	if err != nil {
		return nil, fmt.Errorf("set up zstd: %w", err)
	}
	if len(tenants) == 0 {
		tenants = []string{""}
	}
	c := &coder{slots: b.slots, tenants: tenants, zstd: z}
	c.cpu.Store(int64(b.CPUTime))
	return c, nil
}

// encode returns the result of load in every coding. It waits for a slot for the
// tenants, and returns nothing after the assembly has used up its processor time.
func (c *coder) encode(ctx context.Context, load func() ([]byte, error)) (map[string][]byte, error) {
	release, err := c.slots.Take(ctx, c.tenants...)
	if err != nil {
		return nil, err
	}
	defer release()
	if c.cpu.Load() <= 0 {
		return nil, nil
	}
	content, err := load()
	if err != nil {
		return nil, err
	}
	runtime.LockOSThread() // the time of this thread is measured
	defer runtime.UnlockOSThread()
	began := cputime.Thread()
	defer func() { c.cpu.Add(int64(began - cputime.Thread())) }()
	return encodeAll(ctx, content, map[string]func([]byte) ([]byte, error){
		"br":   encodeBrotli,
		"gzip": encodeGzip,
		"zstd": func(content []byte) ([]byte, error) { return c.zstd.EncodeAll(content, nil), nil },
	})
}

func encodeAll(ctx context.Context, content []byte, codings map[string]func([]byte) ([]byte, error)) (map[string][]byte, error) {
	encoded := make(map[string][]byte, len(codings))
	for coding, encode := range codings {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		b, err := encode(content)
		if err != nil {
			return nil, fmt.Errorf("compress with %s: %w", coding, err)
		}
		encoded[coding] = b
	}
	return encoded, nil
}

func encodeBrotli(content []byte) ([]byte, error) {
	quality := 5
	switch {
	case len(content) <= mostCare:
		quality = 10
	case len(content) <= someCare:
		quality = 9
	}
	// A window not larger than the content: it determines the encoder's memory.
	window := min(max(bits.Len(uint(len(content)+16)), 10), 22)
	var b bytes.Buffer
	return finish(&b, brotli.NewWriterOptions(&b, brotli.WriterOptions{Quality: quality, LGWin: window}), content)
}

func encodeGzip(content []byte) ([]byte, error) {
	level := gzip.DefaultCompression
	if len(content) <= someCare {
		level = gzip.BestCompression
	}
	var b bytes.Buffer
	w, err := gzip.NewWriterLevel(&b, level)
	if err != nil {
		return nil, err
	}
	return finish(&b, w, content)
}

// finish writes content through w and returns the result in b.
func finish(b *bytes.Buffer, w io.WriteCloser, content []byte) ([]byte, error) {
	if _, err := w.Write(content); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// compressible reports whether content of a type usually compresses well.
func compressible(contentType string) bool {
	t, _, err := mime.ParseMediaType(contentType)
	if err != nil {
		return false
	}
	if strings.HasPrefix(t, "text/") || strings.HasSuffix(t, "+json") || strings.HasSuffix(t, "+xml") {
		return true
	}
	switch t {
	case "application/json", "application/json5", "application/jsonl", "application/x-ndjson", "application/javascript", "application/x-javascript",
		"application/xml", "application/wasm", "application/toml", "application/sql", "application/graphql", "application/rtf",
		"application/x-subrip", "application/x-sh", "application/vnd.apple.mpegurl", "application/vnd.ms-fontobject", "application/x-protobuf",
		"font/ttf", "font/otf", "font/collection", "image/x-icon", "image/bmp", "model/obj", "model/stl", "model/gltf-binary":
		return true
	}
	return false
}
