package control

import (
	"context"
	"crypto/sha1" //nolint:gosec // the upload protocol's name for content, never trusted across teams
	"encoding/hex"
	"errors"
	"hash"
	"io"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/store"
)

// Upload stores a file of the caller's team, durable on return. body must have the
// SHA-1 name and, unless size is negative, exactly size bytes; otherwise nothing is
// stored.
func (c *Control) Upload(ctx context.Context, name lateen.SHA1, size int64, body io.Reader) error {
	p, err := authorize(ctx, lateen.DeploymentWrite)
	if err != nil {
		return err
	}
	switch {
	case !name.Valid():
		return lateen.ErrUploadDigest.With("%q is not a SHA-1: 40 lower-case hex digits", string(name))
	case size > c.MaxFile:
		return lateen.ErrTooLarge.With("the file has %d bytes; the limit is %d", size, c.MaxFile)
	}
	space, err := c.reserveUpload(ctx, p.Team, name, size)
	if err != nil {
		return err
	}
	blob, err := c.Artifacts.Put(ctx, &verifier{body: body, hash: sha1.New(), name: name, size: size, max: c.MaxFile, take: space.take}, "") //nolint:gosec // see the import
	if err != nil {
		c.releaseStorage(p.Team, space.taken)
		return err
	}
	if err := c.hold(ctx, p.Team, space.taken, blob); err != nil {
		return err
	}
	return c.Store.PutUpload(ctx, store.Upload{Team: p.Team, SHA1: name, Digest: blob.Digest, Size: blob.Size, CreatedAt: c.now()})
}

// uploadSpace is the storage that one upload reserves.
type uploadSpace struct {
	taken int64
	take  func(read int64) error // called with the bytes of the file read so far; nil: no storage left to reserve
}

// reserveUpload reserves storage for a file of a name and a size. For a negative size,
// storage is reserved as the file arrives. A file that the team has uploaded already
// needs none.
func (c *Control) reserveUpload(ctx context.Context, team lateen.TeamID, name lateen.SHA1, size int64) (*uploadSpace, error) {
	r := &uploadSpace{}
	if c.TeamBytes <= 0 {
		return r, nil
	}
	there, err := c.Store.FindUploads(ctx, team, []lateen.SHA1{name})
	if err != nil || len(there) > 0 {
		return r, err
	}
	grow := func(to int64) error {
		if to <= r.taken {
			return nil
		}
		if err := c.reserveStorage(ctx, team, to-r.taken); err != nil {
			return err
		}
		r.taken = to
		return nil
	}
	if size < 0 {
		r.take = grow
		return r, nil
	}
	return r, grow(size)
}

// verifier passes a body on and ends in an error instead of [io.EOF] if the body has
// another digest or size than announced.
type verifier struct {
	body io.Reader
	hash hash.Hash
	name lateen.SHA1
	size int64 // negative: unknown
	max  int64
	take func(read int64) error // reserves storage for the bytes read; nil: no storage left to reserve
	read int64
}

// Read implements [io.Reader].
func (v *verifier) Read(b []byte) (int, error) {
	n, err := v.body.Read(b)
	v.hash.Write(b[:n])
	v.read += int64(n)
	if v.take != nil && v.read <= v.max {
		if err := v.take(v.read); err != nil {
			return n, err
		}
	}
	switch {
	case v.read > v.max:
		return n, lateen.ErrTooLarge.With("the file exceeds the limit of %d bytes", v.max)
	case v.size >= 0 && v.read > v.size:
		return n, lateen.ErrUploadTruncated.With("the body exceeds its announced size of %d bytes", v.size)
	case errors.Is(err, io.ErrUnexpectedEOF):
		return n, lateen.ErrUploadTruncated.Because(err)
	case !errors.Is(err, io.EOF):
		return n, err
	case v.size >= 0 && v.read != v.size:
		return n, lateen.ErrUploadTruncated.With("the body has %d bytes instead of the announced %d", v.read, v.size)
	case hex.EncodeToString(v.hash.Sum(nil)) != string(v.name):
		return n, lateen.ErrUploadDigest
	}
	return n, io.EOF
}
