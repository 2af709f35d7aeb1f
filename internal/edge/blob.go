package edge

import (
	"bytes"
	"context"
	"io"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/accept"
	"github.com/lateen-dev/lateen/internal/artifact"
	"github.com/lateen-dev/lateen/internal/share"
)

// smallBlob is the size up to which content is kept in memory once it was
// asked for; above it the kernel sends it from its own cache.
const smallBlob = 64 << 10

// checkedBlob is the size up to which larger content is verified before it is
// sent for the first time.
const checkedBlob = 1 << 20

// maxChecked bounds the digests that are known to be verified.
const maxChecked = 1 << 16

// blobs reads content by digest. What is small and in use stays in memory:
// content never changes, so neither does what is kept. Content up to checkedBlob
// is verified once: damage to a disk shows as an error and not as a page.
type blobs struct {
	store   artifact.Store
	small   *share.Cache[lateen.ProjectID, lateen.Digest, []byte]
	checked *share.Cache[lateen.ProjectID, lateen.Digest, struct{}]
}

func newBlobs(store artifact.Store, memory int64) *blobs {
	return &blobs{
		store: store, small: share.NewCache[lateen.ProjectID, lateen.Digest, []byte](memory),
		checked: share.NewCache[lateen.ProjectID, lateen.Digest, struct{}](maxChecked),
	}
}

// open returns a part of blob, to be closed if it is an [io.Closer]. Content that
// several projects have is kept for the one that asked first.
func (b *blobs) open(ctx context.Context, project lateen.ProjectID, blob lateen.Blob, part accept.Part) (io.Reader, error) {
	if blob.Size <= smallBlob {
		content, ok := b.small.Get(blob.Digest)
		if !ok {
			var err error
			if content, err = b.load(ctx, project, blob.Digest); err != nil {
				return nil, err
			}
		}
		end := min(part.Start+part.Length, int64(len(content)))
		return bytes.NewReader(content[min(part.Start, end):end]), nil
	}
	if blob.Size <= checkedBlob {
		if err := b.check(ctx, project, blob.Digest); err != nil {
			return nil, err
		}
	}
	f, err := b.store.Open(ctx, blob.Digest)
	if err != nil {
		return nil, err
	}
	if part.Start > 0 {
		if _, err := f.Seek(part.Start, io.SeekStart); err != nil {
			f.Close()
			return nil, err
		}
	}
	return &fileBody{LimitedReader: io.LimitedReader{R: f, N: part.Length}, Closer: f}, nil
}

func (b *blobs) load(ctx context.Context, project lateen.ProjectID, d lateen.Digest) ([]byte, error) {
	return b.small.Load(ctx, d, func(ctx context.Context) (lateen.ProjectID, []byte, int64, error) {
		content, err := b.read(ctx, d)
		return project, content, int64(len(content)) + 256, err
	})
}

func (b *blobs) read(ctx context.Context, d lateen.Digest) ([]byte, error) {
	return artifact.Read(ctx, b.store, d)
}

// check verifies the content of a digest, unless it is known to be whole.
func (b *blobs) check(ctx context.Context, project lateen.ProjectID, d lateen.Digest) error {
	if _, ok := b.checked.Get(d); ok {
		return nil
	}
	_, err := b.checked.Load(ctx, d, func(ctx context.Context) (lateen.ProjectID, struct{}, int64, error) {
		return project, struct{}{}, 1, artifact.Verify(ctx, b.store, d)
	})
	return err
}

// fileBody is a part of a file.
type fileBody struct {
	io.LimitedReader
	io.Closer
}
