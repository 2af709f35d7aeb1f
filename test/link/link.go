// Package link copies the built examples for tests and benchmarks that deploy them, by hard
// links where the file system has these.
package link

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Output makes dst a directory that can be deployed as src can: its build
// output, the files that functions name instead of containing them, and the
// settings beside it.
func Output(src, dst string) error {
	output := filepath.Join(".vercel", "output")
	err := errors.Join(Tree(filepath.Join(src, output), filepath.Join(dst, output)), mapped(src, dst))
	for _, file := range []string{"package.json", "vercel.json"} {
		if fileErr := File(filepath.Join(src, file), filepath.Join(dst, file)); !errors.Is(fileErr, fs.ErrNotExist) {
			err = errors.Join(err, fileErr)
		}
	}
	return err
}

// mapped links the files of every filePathMap.
func mapped(src, dst string) error {
	return filepath.WalkDir(filepath.Join(src, ".vercel", "output"), func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.Name() != ".vc-config.json" {
			return err
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		var config struct {
			FilePathMap map[string]string `json:"filePathMap"`
		}
		if err := json.Unmarshal(text, &config); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		for _, file := range config.FilePathMap {
			if err := File(filepath.Join(src, file), filepath.Join(dst, file)); err != nil {
				return err
			}
		}
		return nil
	})
}

// Tree makes dst the same as src with hard links, or copies where the file system
// has none. Files that dst already has stay.
func Tree(src, dst string) error {
	return filepath.WalkDir(src, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(src, name)
		if err != nil {
			return err
		}
		if entry.IsDir() {
			return os.MkdirAll(filepath.Join(dst, rel), 0o755)
		}
		return File(name, filepath.Join(dst, rel))
	})
}

// File makes dst the same file, or the same symbolic link, as src.
func File(src, dst string) error {
	info, err := os.Lstat(src)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(dst), 0o755); err != nil {
		return err
	}
	if info.Mode()&fs.ModeSymlink != 0 {
		target, err := os.Readlink(src)
		if err == nil {
			err = os.Symlink(target, dst)
		}
		return ignoreExist(err)
	}
	if err := ignoreExist(os.Link(src, dst)); err == nil {
		return nil
	}
	content, err := os.ReadFile(src)
	if err != nil {
		return err
	}
	return os.WriteFile(dst, content, info.Mode().Perm())
}

func ignoreExist(err error) error {
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	return err
}
