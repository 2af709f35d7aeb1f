package wasi

import (
	"cmp"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// compiled is a module on disk.
type compiled struct {
	path  string
	size  int64
	since time.Time
}

// onDisk are the compiled modules on disk, of this version of the compiler and
// of others.
func (e *Engine) onDisk() []compiled {
	paths, _ := filepath.Glob(filepath.Join(e.o.Dir, "*", "*")) // the pattern is sound
	var all []compiled
	for _, path := range paths {
		if info, err := os.Stat(path); err == nil {
			all = append(all, compiled{path, info.Size(), info.ModTime()})
		}
	}
	return all
}

// prune removes those that were compiled first where all take too much: who
// wants them again waits once more.
func (e *Engine) prune() error {
	all := e.onDisk()
	slices.SortFunc(all, func(x, y compiled) int { return cmp.Or(y.since.Compare(x.since), cmp.Compare(x.path, y.path)) })
	var size int64
	var failed []error
	for _, c := range all {
		if size += c.size; size <= int64(e.o.Disk)<<20 {
			continue
		}
		if err := os.Remove(c.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			failed = append(failed, err)
		}
	}
	return errors.Join(failed...)
}
