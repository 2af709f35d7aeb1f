package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
)

// The smallest functions there are. The peer runs the same file.
const (
	handlerReqRes = "export default (req, res) => res.end(\"hello\\n\");\n"
	handlerFetch  = "export default { fetch: () => new Response(\"hello\\n\") };\n"
)

// output writes a build output: files by path below .vercel/output.
func output(dir string, files map[string]string) error {
	all := map[string]string{"config.json": `{"version":3}`}
	maps.Copy(all, files)
	for name, text := range all {
		if err := write(filepath.Join(dir, ".vercel", "output", filepath.FromSlash(name)), text); err != nil {
			return err
		}
	}
	return nil
}

// function adds a function with one file to a build output.
func function(files map[string]string, path, handler string) {
	dir := "functions/" + path + ".func/"
	files[dir+"index.mjs"] = handler
	files[dir+".vc-config.json"] = fmt.Sprintf(`{"runtime":"nodejs%d.x","handler":"index.mjs","launcherType":"Nodejs","shouldAddHelpers":false,"supportsResponseStreaming":true}`, nodeMajor)
}

func write(name, text string) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	return os.WriteFile(name, []byte(text), 0o644) //nolint:gosec // to be served
}

// project links the build output of an example, and everything else that it
// refers to, into a directory that can be deployed without touching the example.
func (b *bench) project(example string) (string, error) {
	src := filepath.Join(b.root, "examples", example)
	if !exists(filepath.Join(src, ".vercel", "output", "config.json")) {
		return "", fmt.Errorf("the example %s is not built: run `make examples`", example)
	}
	parent, err := os.MkdirTemp(b.dir, "project-")
	if err != nil {
		return "", err
	}
	dst := filepath.Join(parent, example)
	err = linkTree(filepath.Join(src, ".vercel", "output"), filepath.Join(dst, ".vercel", "output"))
	if err != nil {
		return "", err
	}
	if err := ignoreAbsent(linkFile(filepath.Join(src, "package.json"), filepath.Join(dst, "package.json"))); err != nil {
		return "", err
	}
	return dst, linkMapped(src, dst)
}

// linkMapped links the files that functions name instead of containing them.
func linkMapped(src, dst string) error {
	return filepath.WalkDir(filepath.Join(src, ".vercel", "output", "functions"), func(name string, entry fs.DirEntry, err error) error {
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
			if err := linkFile(filepath.Join(src, file), filepath.Join(dst, file)); err != nil {
				return err
			}
		}
		return nil
	})
}

// linkTree makes dst the same as src with hard links, or copies where the file
// system has none.
func linkTree(src, dst string) error {
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
		return linkFile(name, filepath.Join(dst, rel))
	})
}

// linkFile makes dst the same file, or the same symbolic link, as src.
func linkFile(src, dst string) error {
	info, err := os.Lstat(src)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(dst), 0o755); err != nil {
		return err
	}
	if info.Mode()&fs.ModeSymlink != 0 {
		target, err := os.Readlink(src)
		if err != nil {
			return err
		}
		return ignoreExist(os.Symlink(target, dst))
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

func ignoreAbsent(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
