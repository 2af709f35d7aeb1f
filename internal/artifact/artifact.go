// Package artifact keeps files by the SHA-256 of their content, shared between
// all deployments and durable before they are acknowledged.
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

// Store keeps content by digest. All methods may be called concurrently, by one
// process: a store has one owner.
type Store interface {
	// Put keeps what r yields to its end and returns when that is durable.
	// want, unless "", must be its digest; else the error is
	// [lateen.ErrUploadDigest] and nothing is kept, as with any other error:
	// [lateen.ErrStorageFull] where there is no room.
	// Putting what is there refreshes its age, which protects it from a sweep
	// that began before, and makes it whole where it is damaged. Ending ctx ends it between two reads of r.
	Put(ctx context.Context, r io.Reader, want lateen.Digest) (lateen.Blob, error)
	// Open returns the content of d, to be closed by the caller; an [*os.File]
	// where there is one, so that it can be sent without a copy. The error is
	// [fs.ErrNotExist] where d is not kept.
	Open(ctx context.Context, d lateen.Digest) (io.ReadSeekCloser, error)
	// Size returns the bytes of d, or [fs.ErrNotExist].
	Size(ctx context.Context, d lateen.Digest) (int64, error)
	// Sweep drops the content of digests, in their order, and returns those that
	// stay because they were last put at the time before or later, or are being
	// put. Digests of which there is no content count for nothing.
	Sweep(ctx context.Context, digests []lateen.Digest, before time.Time) (swept Swept, young []lateen.Digest, err error)
	// Each calls fn with every digest that is kept, in no order, until fn fails.
	Each(ctx context.Context, fn func(d lateen.Digest) error) error
	// Fresh calls fn with the digests whose content was made by puts since the
	// last Fresh, and forgets them if fn succeeds.
	Fresh(fn func([]lateen.Digest) error) error
}

// Swept is what a sweep dropped.
type Swept struct {
	Files int
	Bytes int64
}

// WriteJSON keeps v as JSON and returns its digest. Equal values have equal
// digests: the fields of structs come in order and the keys of maps sorted.
func WriteJSON[T any](ctx context.Context, s Store, v *T) (lateen.Digest, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return "", fmt.Errorf("encode %T: %w", v, err)
	}
	blob, err := s.Put(ctx, bytes.NewReader(b), "")
	return blob.Digest, err
}

// Read returns the whole content of d. Errors: [fs.ErrNotExist],
// [lateen.ErrArtifactDamaged] if its digest is another.
func Read(ctx context.Context, s Store, d lateen.Digest) ([]byte, error) {
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

// Verify reads the whole content of d. Errors: those of [Read], and the cause
// that ended ctx.
func Verify(ctx context.Context, s Store, d lateen.Digest) error {
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

// match is nil if content of the digest want has the digest got.
func match(want, got lateen.Digest) error {
	if got == want {
		return nil
	}
	return lateen.ErrArtifactDamaged.With("artefact %s is damaged: its content has the digest %s", want, got)
}

// ReadJSON returns the value that [WriteJSON] kept as d. Errors: those of [Read].
func ReadJSON[T any](ctx context.Context, s Store, d lateen.Digest) (*T, error) {
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
