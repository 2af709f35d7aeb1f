package build

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/artifact"
)

// memory remembers how contents were compressed, so that the next deployment
// of the same content has nothing to compress: the file <first 2 digits>/<digest>
// of dir says which blobs are its compressed forms. It is only a saving: what is
// lost or damaged is made again, so its files are not synced.
type memory struct {
	dir string // "" remembers nothing
}

// memoryVersion changes with how contents are compressed; what another version
// remembers does not count.
const memoryVersion = 1

// remembered is what a file of the memory holds.
type remembered struct {
	Version   int                    `json:"version"`
	Encodings map[string]lateen.Blob `json:"encodings"` // by content coding; may be empty
}

func (m memory) path(digest lateen.Digest) string {
	return filepath.Join(m.dir, string(digest[:2]), string(digest))
}

// recall returns the compressed forms of digest, which may have been swept, and
// whether it knows them.
func (m memory) recall(digest lateen.Digest) (map[string]lateen.Blob, bool) {
	if m.dir == "" {
		return nil, false
	}
	b, err := os.ReadFile(m.path(digest))
	if err != nil {
		return nil, false
	}
	var r remembered
	if json.Unmarshal(b, &r) != nil || r.Version != memoryVersion {
		return nil, false
	}
	for _, blob := range r.Encodings {
		if !blob.Digest.Valid() {
			return nil, false
		}
	}
	return r.Encodings, true
}

// remember notes the compressed forms of digest.
func (m memory) remember(digest lateen.Digest, encodings map[string]lateen.Blob) error {
	if m.dir == "" {
		return nil
	}
	b, err := json.Marshal(remembered{Version: memoryVersion, Encodings: encodings})
	if err != nil {
		return fmt.Errorf("encode: %w", err)
	}
	name := m.path(digest)
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		return err
	}
	tmp := name + ".tmp-" + lateen.NewHash(8)
	if err := os.WriteFile(tmp, b, 0o600); err != nil {
		return errors.Join(err, os.Remove(tmp))
	}
	return os.Rename(tmp, name)
}

// clean forgets what is no longer kept in s, in one of the 256 directories:
// calling it now and then bounds the memory by what is kept.
func (m memory) clean(ctx context.Context, s artifact.Store) error {
	if m.dir == "" {
		return nil
	}
	dir := filepath.Join(m.dir, hex.EncodeToString([]byte{byte(rand.N(256))})) //nolint:gosec // any will do
	files, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, file := range files {
		if !m.forgettable(ctx, s, file) {
			continue
		}
		if err := os.Remove(filepath.Join(dir, file.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// forgettable reports whether a file is about content that is gone, or was left
// half written.
func (m memory) forgettable(ctx context.Context, s artifact.Store, file fs.DirEntry) bool {
	if digest := lateen.Digest(file.Name()); digest.Valid() {
		_, err := s.Size(ctx, digest)
		return errors.Is(err, fs.ErrNotExist)
	}
	info, err := file.Info()
	return err == nil && time.Since(info.ModTime()) > time.Hour
}
