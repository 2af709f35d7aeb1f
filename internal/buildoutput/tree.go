package buildoutput

import (
	"cmp"
	"encoding/json"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/lateen-dev/lateen"
)

// readTree collects the files of the function in dir: those beside its configuration
// and those of mapped, its filePathMap, from other directories of the upload. The
// files of mapped take precedence.
func (r *reader) readTree(dir string, mapped value) (*lateen.Tree, error) {
	entries := make(map[string]lateen.TreeEntry)
	for rel, name := range r.upload.under(path.Join(r.dir, dir)) {
		if rel != functionConfig {
			entries[rel] = treeEntry(rel, r.upload.files[name])
		}
	}
	for _, at := range mapped.names(maxEntries) {
		from := mapped.field(at)
		file, err := r.mappedFile(from, from.must().text(maxText))
		if err != nil {
			return nil, err
		}
		if file == nil {
			continue
		}
		rel := strings.TrimPrefix(at, "./")
		entries[rel] = treeEntry(rel, *file)
	}
	if err := mapped.doc.failure(); err != nil {
		return nil, err
	}
	if r.entries += len(entries); r.entries > maxTreeEntries {
		return nil, lateen.ErrTooManyFiles.With("the functions have more than %d files together", maxTreeEntries)
	}
	r.dropBeneathLinks(dir, entries)
	tree := &lateen.Tree{Entries: make([]lateen.TreeEntry, 0, len(entries))}
	for _, e := range entries {
		tree.Entries = append(tree.Entries, e)
	}
	slices.SortFunc(tree.Entries, func(a, b lateen.TreeEntry) int { return cmp.Compare(a.Path, b.Path) })
	return tree, nil
}

// leaves reports whether a clean path leads out of its directory.
func leaves(name string) bool {
	return path.IsAbs(name) || name == ".." || strings.HasPrefix(name, "../")
}

func treeEntry(rel string, f File) lateen.TreeEntry {
	if f.Link != "" {
		return lateen.TreeEntry{Path: rel, Link: f.Link}
	}
	return lateen.TreeEntry{Path: rel, Digest: f.Digest, Size: f.Size, Exec: f.Mode&0o111 != 0}
}

// mappedFile returns the file or link of the upload at the path name of filePathMap;
// nil for a directory, which its files create. v is the value of the path.
func (r *reader) mappedFile(v value, name string) (*File, error) {
	if v.doc.err != nil {
		return nil, v.doc.failure()
	}
	clean := path.Clean(name)
	if leaves(clean) {
		v.fail("%q leads out of the upload", name)
		return nil, v.doc.err.WithHint("run `vercel build --standalone`, which copies such files into the output, then deploy again")
	}
	if file, ok := r.upload.files[clean]; ok {
		return &file, nil
	}
	end, err := r.upload.resolve(clean)
	if err != nil {
		v.fail("%v", err)
		e := v.doc.err.WithHint("upload it with the output, or remove it from .vercelignore")
		return nil, e
	}
	if file, ok := r.upload.files[end]; ok {
		return &file, nil
	}
	return nil, nil
}

// dropBeneathLinks drops entries under a link. Builders list such a file twice,
// under the linked directory and under its real path; the link is sufficient.
func (r *reader) dropBeneathLinks(dir string, entries map[string]lateen.TreeEntry) {
	dropped := 0
	for rel := range entries {
		for above := path.Dir(rel); above != "." && above != "/"; above = path.Dir(above) {
			if entries[above].Link != "" {
				delete(entries, rel)
				dropped++
				break
			}
		}
	}
	if dropped > 0 {
		r.notice("%s: files under linked directories are taken from the links (%d)", dir, dropped)
	}
}

// keepTree validates the tree of the function in dir and returns its digest.
func (r *reader) keepTree(dir string, tree *lateen.Tree) (lateen.Digest, error) {
	if err := tree.Validate(); err != nil {
		return "", inTree(dir, err)
	}
	b, err := json.Marshal(tree)
	if err != nil {
		return "", fmt.Errorf("encode the tree of %s: %w", dir, err)
	}
	digest := lateen.DigestOf(b)
	r.out.Trees[digest] = tree
	return digest, nil
}
