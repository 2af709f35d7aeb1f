package assemble

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/lateen-dev/lateen"
)

// Files outside these limits are served uncompressed: a small one fits into one
// packet anyway, and a large one would need too much memory here.
const (
	minCompressed = 256
	maxCompressed = 32 << 20
	leastGain     = 20 // minimum saving of a compressed form: one part in 20
)

// compression is a content to be compressed.
type compression struct {
	lateen.Blob

	encodings map[string]lateen.Blob // by content coding, only those with the minimum saving
	known     bool                   // whether the compressed forms are from the cache
	left      bool                   // whether it is uncompressed because the time is used up
}

// compress adds the compressed forms of files that compress well.
func (b *Builder) compress(ctx context.Context, tenants []string, files map[string]lateen.File, log func(string)) (err error) {
	ctx, end := lateen.StartSpan(ctx, "compress static files")
	defer end(&err)
	began := time.Now()
	with, err := b.newCoder(tenants)
	if err != nil {
		return err
	}
	wanted := make(map[lateen.Digest]*compression)
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(inFlight)
	for _, f := range files {
		if f.Size < minCompressed || f.Size > maxCompressed || !compressible(f.ContentType) || wanted[f.Digest] != nil {
			continue
		}
		c := &compression{Blob: f.Blob}
		wanted[f.Digest] = c
		g.Go(func() error { return b.variants(ctx, with, c) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	for path, f := range files {
		if c := wanted[f.Digest]; c != nil && compressible(f.ContentType) && len(c.encodings) > 0 {
			f.Encodings = c.encodings
			files[path] = f
		}
	}
	logCompressed(wanted, began, log)
	return nil
}

func logCompressed(wanted map[lateen.Digest]*compression, began time.Time, log func(string)) {
	var made, known, left int
	var before, after int64
	for _, c := range wanted {
		if c.known {
			known++
			continue
		}
		if c.left {
			left++
			continue
		}
		made++
		before += c.Size
		smallest := c.Size
		for _, blob := range c.encodings {
			smallest = min(smallest, blob.Size)
		}
		after += smallest
	}
	if made > 0 {
		log(fmt.Sprintf("Compressed %s from %s to %s in %s", count(made, "static file"), size(before), size(after), took(began)))
	}
	if left > 0 {
		log(NoticePrefix + count(left, "static file") + " not compressed: the compression of others used up the processor time of the deployment")
	}
	if known > 0 {
		log("Compressed before: " + count(known, "static file"))
	}
}

// variants finds or creates the compressed forms of c.
func (b *Builder) variants(ctx context.Context, with *coder, c *compression) error {
	encodings, known := b.cache.get(c.Digest)
	if known {
		err := b.renew(ctx, encodings)
		if err == nil {
			c.encodings, c.known = encodings, true
			return nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	held := int64(0)
	defer func() { b.loaded.Release(held) }()
	encoded, err := with.encode(ctx, func() ([]byte, error) { // a file that waits for a slot holds no memory
		if err := b.loaded.Acquire(ctx, c.Size); err != nil {
			return nil, context.Cause(ctx)
		}
		held = c.Size
		return b.load(ctx, c.Digest)
	})
	if err != nil {
		return err
	}
	if encoded == nil {
		c.left = true
		return nil
	}
	c.encodings = make(map[string]lateen.Blob)
	for coding, content := range encoded {
		if int64(len(content)) > c.Size-c.Size/leastGain {
			continue
		}
		blob, err := b.Artifacts.Put(ctx, bytes.NewReader(content), "")
		if err != nil {
			return fmt.Errorf("store a compressed file: %w", err)
		}
		c.encodings[coding] = blob
	}
	if err := b.cache.put(c.Digest, c.encodings); err != nil {
		b.Log.WarnContext(ctx, "a compressed file could not be cached", "digest", c.Digest, "err", err)
	}
	return nil
}

// renew protects possibly unreferenced blobs from sweeps by putting them again. The
// error is [fs.ErrNotExist] if one was swept or is damaged.
func (b *Builder) renew(ctx context.Context, blobs map[string]lateen.Blob) error {
	for _, blob := range blobs {
		f, err := b.Artifacts.Open(ctx, blob.Digest)
		if err != nil {
			return err
		}
		_, err = b.Artifacts.Put(ctx, f, blob.Digest)
		f.Close()
		if errors.Is(err, lateen.ErrUploadDigest) || errors.Is(err, fs.ErrPermission) { // its content, or its owner, changed on disk
			err = fmt.Errorf("artifact %s is damaged: %w", blob.Digest, fs.ErrNotExist)
		}
		if err != nil {
			return fmt.Errorf("store a compressed file: %w", err)
		}
	}
	return nil
}

func (b *Builder) load(ctx context.Context, digest lateen.Digest) ([]byte, error) {
	f, err := b.Artifacts.Open(ctx, digest)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	content, err := io.ReadAll(f)
	if err != nil {
		return nil, fmt.Errorf("read artifact %s: %w", digest, err)
	}
	return content, nil
}
