package build

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

// Sizes up to which a file is worth the slower levels. On JavaScript and one
// core, brotli's level 10 takes 1 MB/s and saves another 6 % over 9 at 4 MB/s,
// and that another 2 % over 5 at 20 MB/s.
const (
	mostCare = 32 << 10
	someCare = 512 << 10
)

// zstdWindow is the most that a client has to keep at hand (RFC 9659).
const zstdWindow = 8 << 20

// coder compresses content. Its tables are large: it lives for one assembly.
type coder struct {
	slots   *share.Places[string] // held while compressing
	tenants []string              // for whom
	cpu     atomic.Int64          // nanoseconds of processor time that are left
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

// encode returns what load returns in every coding, as soon as there is a slot
// for the tenant, or nothing once the assembly has used up its processor time.
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
	runtime.LockOSThread() // whose time is measured
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
	// A window no larger than the content: the encoder's memory grows with it.
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

// finish writes content through w and returns what came to b.
func finish(b *bytes.Buffer, w io.WriteCloser, content []byte) ([]byte, error) {
	if _, err := w.Write(content); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// compressible reports whether content of a type tends to gain from compression.
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
