package assemble

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

// compressionCache caches the results of compression, so that the next deployment of
// the same content need not compress it: the file <first 2 digits>/<digest> of dir
// lists the blobs of its compressed forms. Lost or damaged results are computed
// again, so the files are not synced.
type compressionCache struct {
	dir string // "" disables the cache
}

// cacheVersion changes with the method of compression; results of another version
// are ignored.
const cacheVersion = 1

// cachedEncodings is the content of a file of the cache.
type cachedEncodings struct {
	Version   int                    `json:"version"`
	Encodings map[string]lateen.Blob `json:"encodings"` // by content coding; may be empty
}

func (m compressionCache) path(digest lateen.Digest) string {
	return filepath.Join(m.dir, string(digest[:2]), string(digest))
}

// get returns the cached compressed forms of digest, which may have been swept,
// and whether digest is cached.
func (m compressionCache) get(digest lateen.Digest) (map[string]lateen.Blob, bool) {
	if m.dir == "" {
		return nil, false
	}
	b, err := os.ReadFile(m.path(digest))
	if err != nil {
		return nil, false
	}
	var r cachedEncodings
	if json.Unmarshal(b, &r) != nil || r.Version != cacheVersion {
		return nil, false
	}
	for _, blob := range r.Encodings {
		if !blob.Digest.Valid() {
			return nil, false
		}
	}
	return r.Encodings, true
}

// put stores the compressed forms of digest.
func (m compressionCache) put(digest lateen.Digest, encodings map[string]lateen.Blob) error {
	if m.dir == "" {
		return nil
	}
	b, err := json.Marshal(cachedEncodings{Version: cacheVersion, Encodings: encodings})
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

// clean removes the results of content that s no longer stores, in one of the 256
// directories. Repeated calls limit the cache to the stored content.
func (m compressionCache) clean(ctx context.Context, s artifact.Store) error {
	if m.dir == "" {
		return nil
	}
	dir := filepath.Join(m.dir, hex.EncodeToString([]byte{byte(rand.N(256))})) //nolint:gosec // any will do
	files, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, file := range files {
		if !m.removable(ctx, s, file) {
			continue
		}
		if err := os.Remove(filepath.Join(dir, file.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// removable reports whether a file is about removed content, or is incomplete.
func (m compressionCache) removable(ctx context.Context, s artifact.Store, file fs.DirEntry) bool {
	if digest := lateen.Digest(file.Name()); digest.Valid() {
		_, err := s.Size(ctx, digest)
		return errors.Is(err, fs.ErrNotExist)
	}
	info, err := file.Info()
	return err == nil && time.Since(info.ModTime()) > time.Hour
}
