package lateen

import (
	"io/fs"
	"path"
	"strings"
)

// ErrTreeInvalid reports a tree whose entries contradict each other or lead out of
// it.
var ErrTreeInvalid = &Error{Code: Invalid, Reason: "function_tree_invalid", Message: "the function's files do not form a tree"}

// maxLinks is how many symbolic links one path may go through, as in Linux.
const maxLinks = 40

// Validate checks that t can be written to a directory without access to files
// outside of it: paths are clean, relative and unique, the parents of a path are
// neither files nor links, and links end inside. The error is [ErrTreeInvalid].
func (t *Tree) Validate() error {
	entries := make(map[string]*TreeEntry, len(t.Entries))
	for i := range t.Entries {
		e := &t.Entries[i]
		switch {
		case !fs.ValidPath(e.Path) || e.Path == "." || strings.ContainsRune(e.Path, 0):
			return ErrTreeInvalid.With("%q is not a path within a function", e.Path)
		case entries[e.Path] != nil:
			return ErrTreeInvalid.With("%s is in the function twice", e.Path)
		case e.Link == "" && (!e.Digest.Valid() || e.Size < 0):
			return ErrTreeInvalid.With("%s has no content", e.Path)
		case e.Link != "" && e.Digest != "":
			return ErrTreeInvalid.With("%s is both a file and a link", e.Path)
		}
		entries[e.Path] = e
	}
	for _, e := range t.Entries {
		for dir := path.Dir(e.Path); dir != "."; dir = path.Dir(dir) {
			if entries[dir] != nil {
				return ErrTreeInvalid.With("%s is below %s, which is not a directory", e.Path, dir)
			}
		}
		if e.Link != "" && !staysInside(entries, e.Path) {
			return ErrTreeInvalid.With("the link %s to %q leaves the function or never ends", e.Path, e.Link)
		}
	}
	return nil
}

// staysInside follows the link at name, and every link on its way, and reports
// whether it ends without leaving the tree.
func staysInside(entries map[string]*TreeEntry, name string) bool {
	at, rest := ".", strings.Split(name, "/")
	for links := 0; len(rest) > 0; {
		step := rest[0]
		rest = rest[1:]
		if step == ".." && at == "." {
			return false
		}
		at = path.Join(at, step)
		e := entries[at]
		if e == nil || e.Link == "" {
			continue
		}
		if links++; links > maxLinks || path.IsAbs(e.Link) || strings.ContainsRune(e.Link, 0) {
			return false
		}
		at, rest = path.Dir(at), append(strings.Split(e.Link, "/"), rest...)
	}
	return true
}
