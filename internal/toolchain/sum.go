package toolchain

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/lateen-dev/lateen/internal/atomicfile"
)

// sumSuffix is the suffix of the file with the digest of an installed package; the file
// is beside the package's directory.
const sumSuffix = ".sha256"

// sum returns the digest of all files of a directory: their paths, executable bits and
// content.
func sum(dir string) (string, error) {
	all := sha256.New()
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		file, err := os.Open(path)
		if err != nil {
			return err
		}
		defer file.Close()
		info, err := file.Stat()
		if err != nil {
			return err
		}
		_, _ = fmt.Fprintf(all, "%q %03o %d\n", filepath.ToSlash(name), info.Mode().Perm()&0o111, info.Size()) // writes to a hash do not fail
		_, err = io.Copy(all, file)
		return err
	})
	return hex.EncodeToString(all.Sum(nil)), err
}

// storeDigest stores the digest of a package that is about to be published as dir.
func storeDigest(unpacked, dir string) error {
	digest, err := sum(unpacked)
	if err == nil {
		err = atomicfile.Write(dir+sumSuffix, []byte(digest+"\n"), 0o644)
	}
	if err != nil {
		return fmt.Errorf("store the digest of %s: %w", filepath.Base(dir), err)
	}
	return nil
}

// intact reports whether an installed package has its digest. Each [Toolchain] checks a
// package once. A package without a digest, of an earlier Lateen, counts as intact.
func (t *Toolchain) intact(dir string) (bool, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.verified[dir] {
		return true, nil
	}
	want, err := os.ReadFile(dir + sumSuffix)
	if err == nil {
		var got string
		if got, err = sum(dir); err == nil && got+"\n" != string(want) {
			return false, nil
		}
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, fmt.Errorf("verify the installed package %s: %w", filepath.Base(dir), err)
	}
	t.verified[dir] = true
	return true, nil
}

// discard moves a damaged package away, so that it is downloaded again. Processes that
// use it keep their files until [Toolchain.sweep] removes them.
func (t *Toolchain) discard(dir string) error {
	aside, err := os.MkdirTemp(t.options.Dir, unfinished)
	if err == nil {
		err = os.Rename(dir, filepath.Join(aside, "damaged"))
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) { // another process was first
		return fmt.Errorf("move the damaged package %s away: %w", filepath.Base(dir), err)
	}
	return nil
}
