// Package atomicfile writes files that are either complete and durable, or absent.
//
// It writes a file under a temporary name, syncs it, renames it to its own name, and
// then syncs its directory. A reader that sees the name sees the complete content, even
// after a crash of the process or the machine at any moment.
package atomicfile

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// File is a file that is being written under a temporary name. Exactly one of Commit
// and Discard ends it; Discard after Commit does nothing, so it may be deferred.
type File struct {
	*os.File

	done bool
}

// Create creates a file of mode 0600 under a temporary name in dir, which must be on
// the file system of the final name.
func Create(dir string) (*File, error) {
	f, err := os.CreateTemp(dir, ".tmp-*")
	if err != nil {
		return nil, fmt.Errorf("create temporary file: %w", err)
	}
	return &File{File: f}, nil
}

// Seal makes the content durable under the temporary name, sets the mode and closes the
// file. The caller continues with [File.Rename].
func (f *File) Seal(perm fs.FileMode) error {
	if err := f.Chmod(perm); err != nil {
		return fmt.Errorf("set mode: %w", err)
	}
	if err := f.Sync(); err != nil {
		return fmt.Errorf("sync: %w", err)
	}
	return f.Close()
}

// Rename gives a sealed file its name and replaces a file that has it. The name is
// durable only after a sync of the directory ([SyncDir]).
func (f *File) Rename(name string) error {
	if err := os.Rename(f.Name(), name); err != nil {
		return err
	}
	f.done = true
	return nil
}

// Commit seals the file, renames it to name and syncs the directory: on return it is
// durable.
func (f *File) Commit(name string, perm fs.FileMode) error {
	if err := f.Seal(perm); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	if err := f.Rename(name); err != nil {
		return err
	}
	return SyncDir(filepath.Dir(name))
}

// Discard closes and removes a file that was not committed.
func (f *File) Discard() {
	if f.done {
		return
	}
	f.done = true
	f.Close()
	_ = os.Remove(f.Name()) // the cleanup of temporary files removes the rest
}

// Write makes data the durable content of the file called name, with mode perm.
// Concurrent readers see the old content or the new one.
func Write(name string, data []byte, perm fs.FileMode) error {
	f, err := Create(filepath.Dir(name))
	if err != nil {
		return err
	}
	defer f.Discard()
	if _, err := f.Write(data); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return f.Commit(name, perm)
}

// SyncDir makes the changes of names in dir durable: files created, renamed or removed.
func SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	if err := d.Sync(); err != nil {
		return fmt.Errorf("sync directory %s: %w", dir, err)
	}
	return nil
}
