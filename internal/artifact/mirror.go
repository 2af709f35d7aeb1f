package artifact

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/atomicfile"
)

// Mirrored is the result of a [Disk.Mirror].
type Mirrored struct {
	Files   int64           // that were added to the copy
	Bytes   int64           // of their content
	Damaged []lateen.Digest // that were not added: their content has another digest
}

// Mirror adds what this store has to a copy of it, durably: as hard links where
// the file systems allow that, and as verified copies elsewhere. What is put or
// swept meanwhile may be in the copy or not. each is called for every artefact.
func (d *Disk) Mirror(ctx context.Context, to *Disk, each func()) (Mirrored, error) {
	var m Mirrored
	err := d.Each(ctx, func(digest lateen.Digest) error {
		defer each()
		if _, err := to.Size(ctx, digest); err == nil {
			return nil
		}
		size, err := d.mirror(ctx, to, digest)
		switch {
		case errors.Is(err, fs.ErrNotExist): // it was swept
			return nil
		case errors.Is(err, lateen.ErrUploadDigest):
			m.Damaged = append(m.Damaged, digest)
			return nil
		case err != nil:
			return fmt.Errorf("copy artifact %s: %w", digest, err)
		}
		m.Files++
		m.Bytes += size
		return nil
	})
	for i := range to.shards {
		if err == nil {
			err = atomicfile.SyncDir(to.shards[i].dir)
		}
	}
	return m, err
}

func (d *Disk) mirror(ctx context.Context, to *Disk, digest lateen.Digest) (int64, error) {
	size, err := d.Size(ctx, digest)
	if err != nil {
		return 0, err
	}
	if d.Link(digest, to.path(digest)) == nil {
		return size, nil
	}
	f, err := d.Open(ctx, digest)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	_, err = to.Put(ctx, f, digest)
	return size, err
}
