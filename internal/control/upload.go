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

// Upload keeps a file for the caller's team, durable on return. body must
// have the SHA-1 name and, unless size is negative, that many bytes; else
// nothing is kept.
func (c *Control) Upload(ctx context.Context, name lateen.SHA1, size int64, body io.Reader) error {
	p, err := act(ctx, lateen.DeploymentWrite)
	if err != nil {
		return err
	}
	switch {
	case !name.Valid():
		return lateen.ErrUploadDigest.With("%q is not a SHA-1: 40 lower-case hex digits", string(name))
	case size > c.MaxFile:
		return lateen.ErrTooLarge.With("the file has %d bytes; %d are allowed", size, c.MaxFile)
	}
	room, err := c.roomFor(ctx, p.Team, name, size)
	if err != nil {
		return err
	}
	blob, err := c.Artifacts.Put(ctx, &verifier{body: body, hash: sha1.New(), name: name, size: size, max: c.MaxFile, take: room.take}, "") //nolint:gosec // see the import
	if err != nil {
		c.forgo(p.Team, room.taken)
		return err
	}
	if err := c.hold(ctx, p.Team, room.taken, blob); err != nil {
		return err
	}
	return c.Store.PutUpload(ctx, store.Upload{Team: p.Team, SHA1: name, Digest: blob.Digest, Size: blob.Size, CreatedAt: c.now()})
}

// room is what one upload takes of its team's storage.
type room struct {
	taken int64
	take  func(read int64) error // called with the bytes of the file so far; nil: it has all room it needs
}

// roomFor takes the room for a file of a name and a size, or, where the size is
// negative, has it taken as the file comes. One that the team has uploaded already
// takes none.
func (c *Control) roomFor(ctx context.Context, team lateen.TeamID, name lateen.SHA1, size int64) (*room, error) {
	r := &room{}
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
		if err := c.expect(ctx, team, to-r.taken); err != nil {
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

// verifier passes a body on and ends in an error, instead of io.EOF, unless
// it was what it was announced to be.
type verifier struct {
	body io.Reader
	hash hash.Hash
	name lateen.SHA1
	size int64 // negative: unknown
	max  int64
	take func(read int64) error // room for what was read; nil: there is enough
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
		return n, lateen.ErrTooLarge.With("the file is larger than the %d bytes allowed", v.max)
	case v.size >= 0 && v.read > v.size:
		return n, lateen.ErrUploadTruncated.With("the body has more than the %d bytes that it was announced with", v.size)
	case errors.Is(err, io.ErrUnexpectedEOF):
		return n, lateen.ErrUploadTruncated.Because(err)
	case !errors.Is(err, io.EOF):
		return n, err
	case v.size >= 0 && v.read != v.size:
		return n, lateen.ErrUploadTruncated.With("the body has %d bytes and was announced with %d", v.read, v.size)
	case hex.EncodeToString(v.hash.Sum(nil)) != string(v.name):
		return n, lateen.ErrUploadDigest
	}
	return n, io.EOF
}
