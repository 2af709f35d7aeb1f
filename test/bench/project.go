package main

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"

	"github.com/lateen-dev/lateen/test/link"
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
func (b *bench) project(example string) (string, error) { return b.projectAs(example, example) }

// projectAs is project under another name.
func (b *bench) projectAs(example, name string) (string, error) {
	src := filepath.Join(b.root, "examples", example)
	if !exists(filepath.Join(src, ".vercel", "output", "config.json")) {
		return "", fmt.Errorf("the example %s is not built: run `make examples`", example)
	}
	parent, err := os.MkdirTemp(b.dir, "project-")
	if err != nil {
		return "", err
	}
	dst := filepath.Join(parent, name)
	return dst, link.Output(src, dst)
}

func ignoreAbsent(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
