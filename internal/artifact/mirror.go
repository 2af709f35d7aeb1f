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
	Files   int64           // added to the copy
	Bytes   int64           // size of the added files
	Damaged []lateen.Digest // not added, because the content has another digest
}

// Mirror adds the content of this store to a copy of the store, durably: as hard
// links if the file systems support that, otherwise as verified copies. The copy may
// or may not contain content that is put or swept meanwhile. Mirror calls each for
// every artifact.
func (d *Disk) Mirror(ctx context.Context, to *Disk, each func()) (Mirrored, error) {
	var m Mirrored
	err := d.Each(ctx, func(digest lateen.Digest) error {
		defer each()
		if _, err := to.Size(ctx, digest); err == nil {
			return nil
		}
		size, err := d.mirror(ctx, to, digest)
		switch {
		case errors.Is(err, fs.ErrNotExist): // swept meanwhile
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
