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
	most, err := c.uploadable(ctx, p.Team, name)
	if err != nil {
		return err
	}
	if size > most {
		return c.errStorage()
	}
	blob, err := c.Artifacts.Put(ctx, &verifier{body: body, hash: sha1.New(), name: name, size: size, max: most}, "") //nolint:gosec // see the import
	if errors.Is(err, lateen.ErrTooLarge) && most < c.MaxFile {
		return c.errStorage()
	}
	if err != nil {
		return err
	}
	if err := c.hold(ctx, p.Team, blob); err != nil {
		return err
	}
	return c.Store.PutUpload(ctx, store.Upload{Team: p.Team, SHA1: name, Digest: blob.Digest, Size: blob.Size, CreatedAt: c.now()})
}

// uploadable is how many bytes a file of a name may have that a team uploads: one
// that it has uploaded already adds nothing to its storage.
func (c *Control) uploadable(ctx context.Context, team lateen.TeamID, name lateen.SHA1) (int64, error) {
	most, err := c.left(ctx, team, c.MaxFile)
	if err != nil || most == c.MaxFile {
		return most, err
	}
	there, err := c.Store.FindUploads(ctx, team, []lateen.SHA1{name})
	if len(there) > 0 {
		most = c.MaxFile
	}
	return most, err
}

// verifier passes a body on and ends in an error, instead of io.EOF, unless
// it was what it was announced to be.
type verifier struct {
	body io.Reader
	hash hash.Hash
	name lateen.SHA1
	size int64 // negative: unknown
	max  int64
	read int64
}

// Read implements [io.Reader].
func (v *verifier) Read(b []byte) (int, error) {
	n, err := v.body.Read(b)
	v.hash.Write(b[:n])
	v.read += int64(n)
	switch {
	case v.read > v.max:
		return n, lateen.ErrTooLarge.With("the file is larger than the %d bytes allowed", v.max)
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
