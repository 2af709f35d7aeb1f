package buildoutput

import (
	"io"
	"io/fs"
	"iter"
	"path"
	"slices"
	"strings"

	"github.com/lateen-dev/lateen"
)

// maxLinks is the maximum number of symbolic links on the way of one path, as in
// Linux.
const maxLinks = 40

// upload is a source with clean paths, and its directories.
type upload struct {
	files map[string]File
	names []string        // of files, sorted
	dirs  map[string]bool // all non-empty directories
	open  func(lateen.Blob) (io.ReadCloser, error)
}

func newUpload(src Source) (*upload, error) {
	u := &upload{files: src.Files, dirs: map[string]bool{".": true}, open: src.Open}
	u.names = make([]string, 0, len(src.Files))
	for name := range src.Files {
		if !fs.ValidPath(name) || name == "." || strings.ContainsRune(name, 0) {
			return nil, lateen.ErrUploadPath.With("%q is not a path within the upload", name)
		}
		u.names = append(u.names, name)
		for dir := path.Dir(name); !u.dirs[dir]; dir = path.Dir(dir) {
			u.dirs[dir] = true
		}
	}
	slices.Sort(u.names)
	return u, nil
}

// under returns the paths of the files under dir in order, with their paths relative
// to dir. It does not follow links.
func (u *upload) under(dir string) iter.Seq2[string, string] {
	prefix := dir + "/"
	from, _ := slices.BinarySearch(u.names, prefix)
	return func(yield func(rel, name string) bool) {
		for _, name := range u.names[from:] {
			rel, ok := strings.CutPrefix(name, prefix)
			if !ok || !yield(rel, name) {
				return
			}
		}
	}
}

// find returns the file at name, through links.
func (u *upload) find(name string) (File, error) {
	end, err := u.resolve(name)
	if err != nil {
		return File{}, err
	}
	file, ok := u.files[end]
	if !ok {
		return File{}, lateen.ErrBuildOutput.With("%s is a directory instead of a file", name)
	}
	return file, nil
}

// resolve follows every link on the way to name and returns the path of the file or
// directory at the end. A file listed under exactly that path takes precedence over
// a link on the way: uploads also list files under links.
func (u *upload) resolve(name string) (string, error) {
	if f, ok := u.files[name]; ok && f.Link == "" {
		return name, nil
	}
	at, rest := ".", strings.Split(name, "/")
	for links := 0; len(rest) > 0; {
		step := rest[0]
		rest = rest[1:]
		if step == ".." && at == "." {
			return "", lateen.ErrBuildOutput.With("%s leads out of the upload", name)
		}
		at = path.Join(at, step)
		f, ok := u.files[at]
		switch {
		case !ok && !u.dirs[at] && at == path.Clean(name):
			return "", lateen.ErrBuildOutput.With("%s is not in the upload", name)
		case !ok && !u.dirs[at]:
			return "", lateen.ErrBuildOutput.With("%s leads to %s, which is not in the upload", name, at)
		case f.Link == "":
			continue
		case path.IsAbs(f.Link):
			return "", lateen.ErrBuildOutput.With("%s leads out of the upload", name)
		}
		if links++; links > maxLinks {
			return "", lateen.ErrBuildOutput.With("%s is a link that never ends", name)
		}
		at, rest = path.Dir(at), append(strings.Split(f.Link, "/"), rest...)
	}
	return at, nil
}
