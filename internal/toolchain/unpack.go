package toolchain

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// Bounds on the content of an archive: bytes and files.
const (
	maxUnpacked = 1 << 30
	maxFiles    = 100_000
)

// syncEvery is the number of bytes between two syncs. On a slow disk a sync takes long,
// and cannot be canceled.
const syncEvery = 8 << 20

// unpack writes the regular files of an npm archive (gzip of tar, with one top
// directory) that keep selects into dir, which it creates. It writes nowhere else: it
// checks the names, and in addition opens files through [os.Root]. It skips links and
// special files. It stops soon after ctx ends.
func unpack(ctx context.Context, archive io.Reader, dir string, keep func(path string) bool) error {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close() //nolint:errcheck // it holds no data
	packed, err := gzip.NewReader(until(ctx, archive))
	if err != nil {
		return err
	}
	entries := tar.NewReader(packed)
	remaining, files := int64(maxUnpacked), 0
	for {
		header, err := entries.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if header.Typeflag != tar.TypeReg {
			continue
		}
		name, err := inside(header.Name)
		if err != nil {
			return err
		}
		if !keep(name) {
			continue
		}
		if remaining, files = remaining-header.Size, files+1; remaining < 0 || files > maxFiles {
			return fmt.Errorf("it has more than %d MiB or %d files", maxUnpacked>>20, maxFiles)
		}
		if err := write(root, name, header.FileInfo().Mode(), io.LimitReader(entries, header.Size)); err != nil {
			return err
		}
	}
}

// reader is a function as an [io.Reader].
type reader func(p []byte) (int, error)

// Read calls r.
func (r reader) Read(p []byte) (int, error) { return r(p) }

// until returns a reader of r that fails with the cause of ctx once ctx has ended.
func until(ctx context.Context, r io.Reader) io.Reader {
	return reader(func(p []byte) (int, error) {
		if ctx.Err() != nil {
			return 0, context.Cause(ctx)
		}
		return r.Read(p)
	})
}

// inside returns an entry's path below the archive's top directory.
func inside(name string) (string, error) {
	top, rest, _ := strings.Cut(name, "/")
	if !filepath.IsLocal(top) || top == "." || !filepath.IsLocal(rest) || path.Clean(rest) != rest || strings.ContainsAny(rest, "\\\x00") {
		return "", fmt.Errorf("the archive holds a file with the path %q", name)
	}
	return rest, nil
}

// write creates one durable file, readable by all users and writable by its owner.
func write(root *os.Root, name string, mode os.FileMode, content io.Reader) error {
	if err := root.MkdirAll(path.Dir(name), 0o755); err != nil {
		return err
	}
	file, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644|mode&0o111)
	if err != nil {
		return err
	}
	defer file.Close()
	if err := file.Chmod(0o644 | mode&0o111); err != nil { // independent of the umask
		return err
	}
	for n := int64(syncEvery); n == syncEvery; {
		if n, err = io.CopyN(file, content, syncEvery); err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if err := file.Sync(); err != nil {
			return err
		}
	}
	return file.Close()
}
