package artifact

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/atomicfile"
)

// Disk is a [Store] in a directory: the content of digest d is the file <first 2
// digits>/<d>, read-only and immutable. Its age is the file's modification time.
// Incomplete files are in tmp.
type Disk struct {
	dir    string
	shards [256]shard

	mu    sync.Mutex // guards the field below
	fresh []lateen.Digest
}

// shard is the directory of the digests with the same first byte.
type shard struct {
	dir string

	mu      sync.Mutex            // held while a name in dir is created or removed; guards the field below
	putting map[lateen.Digest]int // puts in progress, by digest
}

// OpenDisk opens the store in dir. It creates a missing dir and removes incomplete
// files of an earlier process. dir is readable by its owner only: functions see
// content through [Trees].
func OpenDisk(dir string) (*Disk, error) {
	d := ViewDisk(dir)
	if err := os.RemoveAll(d.tmp()); err != nil {
		return nil, fmt.Errorf("clean artifact directory: %w", err)
	}
	if err := os.MkdirAll(d.tmp(), 0o700); err != nil {
		return nil, fmt.Errorf("make artifact directory: %w", err)
	}
	for i := range d.shards {
		if err := os.Mkdir(d.shards[i].dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, fmt.Errorf("make artifact directory: %w", err)
		}
	}
	return d, errors.Join(atomicfile.SyncDir(dir), atomicfile.SyncDir(filepath.Dir(dir)))
}

// ViewDisk returns the store in dir for reading, also if another process uses it. It
// creates and removes nothing.
func ViewDisk(dir string) *Disk {
	d := &Disk{dir: dir}
	for i := range d.shards {
		d.shards[i].dir = filepath.Join(dir, hex.EncodeToString([]byte{byte(i)}))
		d.shards[i].putting = make(map[lateen.Digest]int)
	}
	return d
}

func (d *Disk) tmp() string { return filepath.Join(d.dir, "tmp") }

// shard returns the shard of a valid digest.
func (d *Disk) shard(digest lateen.Digest) *shard {
	first, _ := hex.DecodeString(string(digest[:2])) // valid
	return &d.shards[first[0]]
}

func (d *Disk) path(digest lateen.Digest) string {
	return d.shard(digest).path(digest)
}

// Put implements [Store].
func (d *Disk) Put(ctx context.Context, r io.Reader, want lateen.Digest) (lateen.Blob, error) {
	blob, err := d.put(ctx, r, want)
	return blob, explain(err)
}

// explain maps the error of a write to a full disk.
func explain(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return lateen.ErrStorageFull.Because(err)
	}
	return err
}

func (d *Disk) put(ctx context.Context, r io.Reader, want lateen.Digest) (lateen.Blob, error) {
	into := io.Discard
	if want != "" {
		if !want.Valid() {
			return lateen.Blob{}, lateen.ErrUploadDigest.With("%q is not a SHA-256 digest", string(want))
		}
		defer d.shard(want).announce(want)()
	}
	var f *atomicfile.File
	if _, err := d.Size(ctx, want); err != nil {
		if f, err = atomicfile.Create(d.tmp()); err != nil {
			return lateen.Blob{}, err
		}
		defer f.Discard()
		into = f
	}
	blob, err := receive(ctx, into, r)
	switch {
	case err != nil:
		return lateen.Blob{}, err
	case want != "" && blob.Digest != want:
		return lateen.Blob{}, lateen.ErrUploadDigest.With("the content has the digest %s instead of %s", blob.Digest, want)
	}
	made, err := d.shard(blob.Digest).keep(f, blob, f != nil && d.damaged(f, blob))
	if err != nil {
		return lateen.Blob{}, fmt.Errorf("store artifact %s: %w", blob.Digest, err)
	}
	if made {
		d.note(blob.Digest)
	}
	return blob, nil
}

// damaged reports whether the stored content under the digest of a blob differs from
// f.
func (d *Disk) damaged(f *atomicfile.File, blob lateen.Blob) bool {
	there, err := os.Open(d.path(blob.Digest))
	if err != nil {
		return false // a missing file is not damaged
	}
	defer there.Close()
	const step = 128 << 10
	a, b := make([]byte, min(step, blob.Size+1)), make([]byte, min(step, blob.Size+1))
	for at := int64(0); ; at += int64(len(a)) {
		n, err := f.ReadAt(a, at)
		if err != nil && !errors.Is(err, io.EOF) {
			return false // a read error of f says nothing about the stored content
		}
		m, failed := there.ReadAt(b, at)
		if failed != nil && !errors.Is(failed, io.EOF) || !bytes.Equal(a[:n], b[:m]) {
			return true
		}
		if err != nil {
			return false
		}
	}
}

// receive copies r to w and returns the digest and the size.
func receive(ctx context.Context, w io.Writer, r io.Reader) (lateen.Blob, error) {
	hash := sha256.New()
	size, err := io.Copy(io.MultiWriter(w, hash), &contextReader{ctx, r})
	if err != nil {
		return lateen.Blob{}, fmt.Errorf("receive artifact: %w", err)
	}
	return lateen.Blob{Digest: lateen.Digest(hex.EncodeToString(hash.Sum(nil))), Size: size}, nil
}

// Open implements [Store].
func (d *Disk) Open(_ context.Context, digest lateen.Digest) (io.ReadSeekCloser, error) {
	if !digest.Valid() {
		return nil, fmt.Errorf("open artifact %q: %w", string(digest), fs.ErrNotExist)
	}
	f, err := os.Open(d.path(digest))
	if err != nil {
		return nil, fmt.Errorf("open artifact: %w", err)
	}
	return f, nil
}

// Size implements [Store].
func (d *Disk) Size(_ context.Context, digest lateen.Digest) (int64, error) {
	if !digest.Valid() {
		return 0, fmt.Errorf("size of artifact %q: %w", string(digest), fs.ErrNotExist)
	}
	info, err := os.Stat(d.path(digest))
	if err != nil {
		return 0, fmt.Errorf("size of artifact: %w", err)
	}
	return info.Size(), nil
}

// Link creates a hard link to the content of digest at name, which must not exist.
// It fails if the file system does not support that.
func (d *Disk) Link(digest lateen.Digest, name string) error {
	if !digest.Valid() {
		return fmt.Errorf("link artifact %q: %w", string(digest), fs.ErrNotExist)
	}
	return os.Link(d.path(digest), name)
}

// Sweep implements [Store].
func (d *Disk) Sweep(ctx context.Context, digests []lateen.Digest, before time.Time) (swept Swept, young []lateen.Digest, err error) {
	for _, digest := range digests {
		if err := ctx.Err(); err != nil {
			return swept, young, context.Cause(ctx)
		}
		if !digest.Valid() {
			continue
		}
		size, err := d.shard(digest).drop(digest, before)
		switch {
		case errors.Is(err, errYoung):
			young = append(young, digest)
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			return swept, young, fmt.Errorf("drop artifact: %w", err)
		default:
			swept.Files++
			swept.Bytes += size
		}
	}
	return swept, young, nil
}

// Each implements [Store].
func (d *Disk) Each(ctx context.Context, fn func(lateen.Digest) error) error {
	for i := range d.shards {
		files, err := os.ReadDir(d.shards[i].dir)
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // an incomplete copy lacks directories
			return fmt.Errorf("list artifacts: %w", err)
		}
		for _, file := range files {
			digest := lateen.Digest(file.Name())
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			if !digest.Valid() {
				continue
			}
			if err := fn(digest); err != nil {
				return err
			}
		}
	}
	return nil
}

// maxFresh limits the digests remembered for [Store.Fresh]. Further ones are swept
// only after a deployment or an upload stops referencing them.
const maxFresh = 1 << 20

// Fresh implements [Store].
func (d *Disk) Fresh(fn func([]lateen.Digest) error) error {
	d.mu.Lock()
	fresh := d.fresh
	d.fresh = nil
	d.mu.Unlock()
	if len(fresh) == 0 {
		return nil
	}
	err := fn(fresh)
	if err != nil {
		d.note(fresh...)
	}
	return err
}

func (d *Disk) note(fresh ...lateen.Digest) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.fresh = append(d.fresh, fresh[:min(len(fresh), maxFresh-len(d.fresh))]...)
}

func (s *shard) path(digest lateen.Digest) string { return filepath.Join(s.dir, string(digest)) }

// announce protects digest from sweeps until done is called.
func (s *shard) announce(digest lateen.Digest) (done func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.putting[digest]++
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.putting[digest]--; s.putting[digest] == 0 {
			delete(s.putting, digest)
		}
	}
}

// keep makes f the durable content of a blob, and reports whether it did. If
// undamaged content of that size exists, keep refreshes it instead; f may be nil
// then.
func (s *shard) keep(f *atomicfile.File, blob lateen.Blob, damaged bool) (made bool, err error) {
	if f == nil {
		return false, s.refreshOrRemove(blob)
	}
	if !damaged && s.refresh(blob) == nil {
		return false, nil
	}
	if err := f.Seal(0o444); err != nil {
		return false, err
	}
	s.mu.Lock() // to the end: a concurrent put that finds the name relies on its durability
	defer s.mu.Unlock()
	if !damaged && s.touch(blob) == nil {
		return false, nil
	}
	links := s.linked(blob.Digest)
	defer links.Close() // a nil file has no effect
	if err := f.Rename(s.path(blob.Digest)); err != nil {
		return false, err
	}
	repair(links, s.path(blob.Digest), blob.Size)
	return true, errors.Join(s.touch(blob), atomicfile.SyncDir(s.dir))
}

// refreshOrRemove sets the age of a blob to now. Content of another size is damaged,
// so it is removed, and the next put stores it again.
func (s *shard) refreshOrRemove(blob lateen.Blob) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	err := s.touch(blob)
	if errors.Is(err, errSize) {
		err = errors.Join(err, os.Remove(s.path(blob.Digest)))
	}
	return err
}

// linked opens the file of a digest for writing, or returns nil if there is none.
// The file may have further hard links, in laid out trees.
func (s *shard) linked(digest lateen.Digest) *os.File {
	if os.Chmod(s.path(digest), 0o644) != nil { // functions continue to read it
		return nil
	}
	f, err := os.OpenFile(s.path(digest), os.O_WRONLY, 0)
	if err != nil {
		return nil
	}
	return f
}

// repair overwrites a damaged file with the content of another file, which repairs the
// trees that link to it. If that fails, the trees stay damaged. A nil file is no
// damaged file.
func repair(damaged *os.File, from string, size int64) {
	if damaged == nil {
		return
	}
	whole, err := os.Open(from)
	if err != nil {
		return
	}
	defer whole.Close()
	if _, err := io.Copy(damaged, whole); err == nil { // readers may read it meanwhile; it may be repaired already
		_ = errors.Join(damaged.Truncate(size), damaged.Chmod(0o444), damaged.Sync())
	}
}

// refresh sets the age of a blob to now. The error is [fs.ErrNotExist] if the blob
// is missing or damaged.
func (s *shard) refresh(blob lateen.Blob) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.touch(blob)
}

func (s *shard) touch(blob lateen.Blob) error {
	info, err := os.Stat(s.path(blob.Digest))
	if err == nil && info.Size() != blob.Size {
		err = errSize
	}
	if err != nil {
		return err
	}
	now := time.Now()
	return os.Chtimes(s.path(blob.Digest), now, now)
}

// errSize means that content is damaged and counts as missing.
var errSize = fmt.Errorf("the content has another size: %w", fs.ErrNotExist)

// errYoung means that content is too young to be removed.
var errYoung = errors.New("the content is too young")

// drop removes digest and returns its size. The error is [errYoung] if it is younger
// than before or being put, and [fs.ErrNotExist] if it is not stored.
func (s *shard) drop(digest lateen.Digest, before time.Time) (int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	info, err := os.Stat(s.path(digest))
	switch {
	case err != nil:
		return 0, err
	case !info.ModTime().Before(before) || s.putting[digest] > 0:
		return 0, errYoung
	}
	return info.Size(), os.Remove(s.path(digest))
}

// contextReader ends a stream between two reads when its context has ended.
type contextReader struct {
	ctx context.Context //nolint:containedctx // ends with the call that creates it
	r   io.Reader
}

func (c *contextReader) Read(p []byte) (int, error) {
	if c.ctx.Err() != nil {
		return 0, context.Cause(c.ctx)
	}
	return c.r.Read(p)
}
