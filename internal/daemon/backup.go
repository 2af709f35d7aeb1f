package daemon

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/artifact"
	"github.com/lateen-dev/lateen/internal/atomicfile"
	"github.com/lateen-dev/lateen/internal/config"
	"github.com/lateen-dev/lateen/internal/store/sqlite"
)

// Errors of the backup directory.
var (
	errBackupTaken  = &lateen.Error{Code: lateen.Conflict, Reason: "backup_not_empty", Message: "the directory of the backup is not empty", Hint: "name a directory that is empty or does not exist"}
	errBackupInside = &lateen.Error{Code: lateen.Invalid, Reason: "backup_inside_data", Message: "the directory of the backup is in the data directory", Hint: "name a directory outside of it, if possible on another disk"}
)

// Backup copies the parts of a data directory that cannot be recreated to dir. The
// copy is consistent, and a platform can start in it. A platform may run in the
// original and change it meanwhile. Backup does not copy a PostgreSQL database. It
// creates dir if dir is missing, and leaves it empty if the copy fails. progress is
// called with the number of checked artifacts and of all artifacts.
//
// Backup copies the artifacts first, the database second, and third the artifacts
// that were added in the meantime. So the copy has each artifact to which its
// database refers: the artifact is older than the first pass, which copied it, or
// too young for a sweep to remove it before the last pass.
func Backup(ctx context.Context, c *config.Config, dir string, progress func(done, total int64)) (lateen.Backup, error) {
	at, err := platformPaths(c)
	if err != nil {
		return lateen.Backup{}, err
	}
	to, err := emptyDir(at, dir)
	if err != nil {
		return lateen.Backup{}, err
	}
	b := backup{from: at, to: to, database: c.Database == "", progress: progress}
	if err := b.run(ctx); err != nil {
		return lateen.Backup{}, errors.Join(err, b.clear())
	}
	return b.done, nil
}

// emptyDir creates the backup directory if it is missing, and returns the paths in
// it.
func emptyDir(at paths, dir string) (paths, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return paths{}, fmt.Errorf("find the directory of the backup: %w", err)
	}
	if dir == at.root || strings.HasPrefix(dir, at.root+string(filepath.Separator)) {
		return paths{}, errBackupInside.With("%s is in the data directory %s", dir, at.root)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return paths{}, fmt.Errorf("make the directory of the backup: %w", err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return paths{}, fmt.Errorf("read the directory of the backup: %w", err)
	}
	if len(entries) > 0 {
		return paths{}, errBackupTaken.With("%s is not empty", dir)
	}
	return pathsIn(dir), nil
}

// backup is one run of [Backup].
type backup struct {
	from, to paths
	database bool // whether the database is a file
	progress func(done, total int64)
	done     lateen.Backup
}

func (b *backup) run(ctx context.Context) error {
	from := artifact.ViewDisk(b.from.artifacts)
	to, err := artifact.OpenDisk(b.to.artifacts)
	if err != nil {
		return err
	}
	if err := b.mirror(ctx, from, to); err != nil {
		return err
	}
	unfinished := b.to.database + ".new" // a platform does not start in a copy without its database
	if b.database {
		if err := sqlite.Copy(ctx, b.from.database, unfinished); err != nil {
			return err
		}
	}
	if err := b.mirror(ctx, from, to); err != nil {
		return err
	}
	for _, name := range []string{"key", "token", filepath.Join("artifacts", identityName)} {
		if err := b.copyFile(name); err != nil {
			return err
		}
	}
	if b.database {
		if err := os.Rename(unfinished, b.to.database); err != nil {
			return err
		}
	}
	if err := b.own(); err != nil {
		return err
	}
	return errors.Join(atomicfile.SyncDir(b.to.root), atomicfile.SyncDir(filepath.Dir(b.to.root)))
}

// mirror copies the artifacts that the copy lacks.
func (b *backup) mirror(ctx context.Context, from, to *artifact.Disk) error {
	var done, total int64
	if err := from.Each(ctx, func(lateen.Digest) error { total++; return nil }); err != nil {
		return err
	}
	m, err := from.Mirror(ctx, to, func() {
		done++
		b.progress(done, max(done, total))
	})
	b.done.Artifacts += m.Files
	b.done.Bytes += m.Bytes
	b.done.Damaged = append([]lateen.Digest{}, m.Damaged...) // only those of the last pass, which finds those of the first again
	return err
}

// copyFile copies a small file if it exists. The file key must exist.
func (b *backup) copyFile(name string) error {
	text, err := os.ReadFile(filepath.Join(b.from.root, name))
	if errors.Is(err, fs.ErrNotExist) && name != "key" {
		return nil
	}
	if err != nil {
		return fmt.Errorf("copy %s: %w", name, err)
	}
	return explainFull(atomicfile.Write(filepath.Join(b.to.root, name), text, 0o600))
}

// own gives the copy the owner of the data directory if this process is root, and
// lets functions traverse it, as they traverse a data directory.
func (b *backup) own() error {
	info, err := os.Stat(b.from.root)
	if err != nil {
		return err
	}
	if s, ok := info.Sys().(*syscall.Stat_t); ok && os.Geteuid() == 0 && s.Uid != 0 {
		err = filepath.WalkDir(b.to.root, func(path string, _ fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			return os.Lchown(path, int(s.Uid), int(s.Gid))
		})
	}
	return errors.Join(err, os.Chmod(b.to.root, 0o711)) //nolint:gosec // its files have modes of their own
}

// clear removes an unfinished copy.
func (b *backup) clear() error {
	entries, err := os.ReadDir(b.to.root)
	for _, e := range entries {
		err = errors.Join(err, os.RemoveAll(filepath.Join(b.to.root, e.Name())))
	}
	return err
}

// explainFull turns the error of a full disk or quota into [lateen.ErrStorageFull].
func explainFull(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return lateen.ErrStorageFull.Because(err)
	}
	return err
}
