// Package artifact stores files by the SHA-256 of their content. All deployments
// share them. They are durable before they are acknowledged.
package artifact

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/lateen-dev/lateen"
)

// Reader reads content by digest. Its methods are safe for concurrent use, also while
// another process changes the store: content never changes, and names appear and
// disappear atomically.
type Reader interface {
	// Open returns the content of d, which the caller must close. It is an
	// [*os.File] if possible, so that it can be sent without a copy. The error is
	// [fs.ErrNotExist] if d is not stored.
	Open(ctx context.Context, d lateen.Digest) (io.ReadSeekCloser, error)
	// Size returns the bytes of d, or [fs.ErrNotExist].
	Size(ctx context.Context, d lateen.Digest) (int64, error)
}

// Store stores content by digest. All methods are safe for concurrent use in one
// process, the only one that changes the store.
type Store interface {
	Reader

	// Put stores the content of r and returns when it is durable. The digest of the
	// content must be want, unless want is ""; else the error is
	// [lateen.ErrUploadDigest]. After an error, such as [lateen.ErrStorageFull] on a
	// full disk, nothing is stored.
	//
	// Put of existing content refreshes its age, which protects it from a sweep that
	// began before, and replaces damaged content. The end of ctx ends Put between
	// two reads of r.
	Put(ctx context.Context, r io.Reader, want lateen.Digest) (lateen.Blob, error)
	// Sweep removes the content of digests, in their order. It returns the digests
	// that it keeps because they were last put at or after the time before, or are
	// being put. It ignores digests without content.
	Sweep(ctx context.Context, digests []lateen.Digest, before time.Time) (swept Swept, young []lateen.Digest, err error)
	// Each calls fn with every stored digest, in no order, until fn fails.
	Each(ctx context.Context, fn func(d lateen.Digest) error) error
	// Fresh calls fn with the digests that were stored since the last Fresh, and
	// forgets them if fn succeeds.
	Fresh(fn func([]lateen.Digest) error) error
}

// Swept is the number and size of the files that a sweep removed.
type Swept struct {
	Files int
	Bytes int64
}

// WriteJSON stores v as JSON and returns its digest. Equal values have equal
// digests: the fields of structs are in order and the keys of maps sorted.
func WriteJSON[T any](ctx context.Context, s Store, v *T) (lateen.Digest, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return "", fmt.Errorf("encode %T: %w", v, err)
	}
	blob, err := s.Put(ctx, bytes.NewReader(b), "")
	return blob.Digest, err
}

// Read returns the whole content of d. Errors: [fs.ErrNotExist],
// [lateen.ErrArtifactDamaged] if the content has another digest.
func Read(ctx context.Context, s Reader, d lateen.Digest) ([]byte, error) {
	f, err := s.Open(ctx, d)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(f)
	if err != nil {
		return nil, fmt.Errorf("read artifact %s: %w", d, err)
	}
	return b, match(d, lateen.DigestOf(b))
}

// Verify reads the whole content of d. Errors: those of [Read], and the cause of the
// end of ctx.
func Verify(ctx context.Context, s Reader, d lateen.Digest) error {
	f, err := s.Open(ctx, d)
	if err != nil {
		return err
	}
	defer f.Close()
	blob, err := receive(ctx, io.Discard, f)
	if err != nil {
		return err
	}
	return match(d, blob.Digest)
}

// match returns an error unless the digests are equal.
func match(want, got lateen.Digest) error {
	if got == want {
		return nil
	}
	return lateen.ErrArtifactDamaged.With("artifact %s is damaged: its content has the digest %s", want, got)
}

// ReadJSON returns the value that [WriteJSON] stored as d. Errors: those of [Read].
func ReadJSON[T any](ctx context.Context, s Reader, d lateen.Digest) (*T, error) {
	b, err := Read(ctx, s, d)
	if err != nil {
		return nil, err
	}
	v := new(T)
	if err := json.Unmarshal(b, v); err != nil {
		return nil, fmt.Errorf("decode artifact %s: %w", d, err)
	}
	return v, nil
}
