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
	// that began before. Ending ctx ends it between two reads of r.
	Put(ctx context.Context, r io.Reader, want lateen.Digest) (lateen.Blob, error)
	// Open returns the content of d, to be closed by the caller; an [*os.File]
	// where there is one, so that it can be sent without a copy. The error is
	// [fs.ErrNotExist] where d is not kept.
	Open(ctx context.Context, d lateen.Digest) (io.ReadSeekCloser, error)
	// Size returns the bytes of d, or [fs.ErrNotExist].
	Size(ctx context.Context, d lateen.Digest) (int64, error)
	// Sweep drops what keep does not want and what was last put before the
	// time before. That must be so long ago that whoever has put something
	// since then has also told keep what they rely on. keep is called from one
	// goroutine; content that is being put meanwhile is not dropped.
	Sweep(ctx context.Context, keep func(lateen.Digest) bool, before time.Time) (Swept, error)
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

// ReadJSON returns the value that [WriteJSON] kept as d, and an error if it is
// not what was kept.
func ReadJSON[T any](ctx context.Context, s Store, d lateen.Digest) (*T, error) {
	f, err := s.Open(ctx, d)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(f)
	if err != nil {
		return nil, fmt.Errorf("read artifact %s: %w", d, err)
	}
	if got := lateen.DigestOf(b); got != d {
		return nil, fmt.Errorf("artifact %s is damaged: its content has the digest %s", d, got)
	}
	v := new(T)
	if err := json.Unmarshal(b, v); err != nil {
		return nil, fmt.Errorf("decode artifact %s: %w", d, err)
	}
	return v, nil
}
