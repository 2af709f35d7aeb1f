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

// smallBlob is the size up to which content stays in memory after the first
// request for it. The kernel sends larger content from the page cache.
const smallBlob = 64 << 10

// checkedBlob is the size up to which content larger than smallBlob is verified
// before it is sent for the first time.
const checkedBlob = 1 << 20

// maxChecked bounds the remembered digests of verified content.
const maxChecked = 1 << 16

// blobs reads content by digest. Small content in use stays in memory; content
// never changes, so the copy in memory needs no invalidation. Content up to
// checkedBlob is verified once, so that a damaged disk causes an error response
// and not a damaged page.
type blobs struct {
	store   artifact.Reader
	small   *share.Cache[lateen.ProjectID, lateen.Digest, []byte]
	checked *share.Cache[lateen.ProjectID, lateen.Digest, struct{}]
}

func newBlobs(store artifact.Reader, memory int64) *blobs {
	return &blobs{
		store: store, small: share.NewCache[lateen.ProjectID, lateen.Digest, []byte](memory),
		checked: share.NewCache[lateen.ProjectID, lateen.Digest, struct{}](maxChecked),
	}
}

// open returns a part of blob, which the caller closes if it is an [io.Closer].
// Memory for content that several projects have is charged to the project that
// requested it first.
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

// check verifies the content of a digest unless an earlier check succeeded.
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
