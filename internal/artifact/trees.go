package artifact

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/atomicfile"
)

// Trees lays out function trees, each once, as the directory <dir>/<digest of its
// [lateen.Tree]>. Files are hard links to the store if the store supports that, so
// no process may write to them. Every user may read them. Several processes may use
// the same directory.
type Trees struct {
	dir   string
	store Reader

	mu      sync.Mutex // guards the field below
	layouts map[lateen.Digest]*layout
}

// layout is a layout in progress, shared by concurrent callers.
type layout struct {
	done      chan struct{} // closed at the end, after the fields below are set
	err       error
	abandoned bool // its context ended, which does not concern the other callers
}

// linker is a store that can link a file instead of copying it.
type linker interface {
	Link(d lateen.Digest, name string) error
}

const unfinished = ".tmp-" // marks a directory that is being laid out

// NewTrees returns the trees of s in dir, which is created when needed.
func NewTrees(dir string, s Reader) *Trees {
	return &Trees{dir: dir, store: s, layouts: make(map[lateen.Digest]*layout)}
}

// Dir returns the directory of the tree stored as JSON under digest. It lays out a
// missing tree atomically and refreshes the tree's age. The error is
// [lateen.ErrTreeInvalid] for a tree that can't be laid out safely, and
// [fs.ErrNotExist] if the tree or one of its files is not stored.
func (t *Trees) Dir(ctx context.Context, digest lateen.Digest) (string, error) {
	if !digest.Valid() {
		return "", fmt.Errorf("function tree %q: %w", string(digest), fs.ErrNotExist)
	}
	dir := filepath.Join(t.dir, string(digest))
	for {
		m, mine := t.claim(digest, dir)
		switch {
		case m == nil:
			return dir, nil
		case mine:
			m.err = explain(t.make(ctx, digest, dir))
			m.abandoned = m.err != nil && ctx.Err() != nil
			t.release(digest)
			return dir, m.err
		}
		select {
		case <-ctx.Done():
			return "", context.Cause(ctx)
		case <-m.done:
		}
		if m.err != nil && !m.abandoned {
			return "", m.err
		}
	}
}

// claim returns nil if the tree exists, else the layout in progress. mine is true if
// the caller has to do the layout.
func (t *Trees) claim(digest lateen.Digest, dir string) (m *layout, mine bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if m := t.layouts[digest]; m != nil {
		return m, false
	}
	now := time.Now()
	if os.Chtimes(dir, now, now) == nil {
		return nil, false
	}
	m = &layout{done: make(chan struct{})}
	t.layouts[digest] = m
	return m, true
}

func (t *Trees) release(digest lateen.Digest) {
	t.mu.Lock()
	defer t.mu.Unlock()
	close(t.layouts[digest].done)
	delete(t.layouts, digest)
}

// make lays out the tree in a temporary directory, then renames it. In the file
// system's journal, links precede the rename; copies are synced. So the tree is
// complete or missing after a crash.
func (t *Trees) make(ctx context.Context, digest lateen.Digest, dir string) error {
	tree, err := ReadJSON[lateen.Tree](ctx, t.store, digest)
	if err != nil {
		return fmt.Errorf("function tree: %w", err)
	}
	if err := tree.Validate(); err != nil {
		return err
	}
	if err := os.MkdirAll(t.dir, 0o700); err != nil { // the engine gives guests access to it
		return fmt.Errorf("make tree directory: %w", err)
	}
	tmp, err := os.MkdirTemp(t.dir, string(digest)+unfinished+"*")
	if err != nil {
		return fmt.Errorf("make tree directory: %w", err)
	}
	if err := t.fill(ctx, tmp, tree); err != nil {
		return errors.Join(fmt.Errorf("lay out function tree %s: %w", digest, err), os.RemoveAll(tmp))
	}
	if err := os.Rename(tmp, dir); err != nil {
		if _, made := os.Stat(dir); made == nil { // by another process, meanwhile
			return os.RemoveAll(tmp)
		}
		return errors.Join(fmt.Errorf("lay out function tree: %w", err), os.RemoveAll(tmp))
	}
	return atomicfile.SyncDir(t.dir)
}

// fill creates the entries of a valid tree in root.
func (t *Trees) fill(ctx context.Context, root string, tree *lateen.Tree) error {
	if err := os.Chmod(root, 0o755); err != nil {
		return err
	}
	made := map[string]bool{".": true}
	for _, e := range tree.Entries {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err := mkdirs(root, path.Dir(e.Path), made); err != nil {
			return err
		}
		if err := t.place(ctx, e, filepath.Join(root, filepath.FromSlash(e.Path))); err != nil {
			return err
		}
	}
	return nil
}

// mkdirs creates the directory dir of root and its parents, except those in made.
func mkdirs(root, dir string, made map[string]bool) error {
	if made[dir] {
		return nil
	}
	if err := mkdirs(root, path.Dir(dir), made); err != nil {
		return err
	}
	made[dir] = true
	name := filepath.Join(root, filepath.FromSlash(dir))
	return errors.Join(os.Mkdir(name, 0o755), os.Chmod(name, 0o755)) // independent of the umask
}

// place creates one entry. Only copies can be executable: a linked file has the mode
// of the stored file.
func (t *Trees) place(ctx context.Context, e lateen.TreeEntry, name string) error {
	if e.Link != "" {
		return os.Symlink(e.Link, name)
	}
	if l, ok := t.store.(linker); ok && !e.Exec {
		err := l.Link(e.Digest, name)
		if err == nil || errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	mode := fs.FileMode(0o444)
	if e.Exec {
		mode = 0o555
	}
	return t.copy(ctx, e.Digest, name, mode)
}

func (t *Trees) copy(ctx context.Context, digest lateen.Digest, name string, mode fs.FileMode) error {
	from, err := t.store.Open(ctx, digest)
	if err != nil {
		return err
	}
	defer from.Close()
	to, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer to.Close()
	blob, err := receive(ctx, to, from)
	if err == nil {
		err = match(digest, blob.Digest)
	}
	if err != nil {
		return fmt.Errorf("copy artifact %s: %w", digest, err)
	}
	return errors.Join(to.Chmod(mode), to.Sync())
}

// Sweep removes the trees that keep rejects and that were last requested before the
// time before. It also removes incomplete layouts of that age; a younger one may be in
// progress in another process.
func (t *Trees) Sweep(ctx context.Context, keep func(lateen.Digest) bool, before time.Time) (Swept, error) {
	var swept Swept
	entries, err := os.ReadDir(t.dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return swept, fmt.Errorf("list function trees: %w", err)
	}
	for _, e := range entries {
		if err := ctx.Err(); err != nil {
			return swept, err
		}
		name, _, _ := strings.Cut(e.Name(), unfinished)
		digest := lateen.Digest(name)
		whole := name == e.Name()
		if !digest.Valid() || whole && keep(digest) {
			continue
		}
		old, err := t.detach(digest, e.Name(), before)
		if err != nil {
			return swept, fmt.Errorf("remove function tree: %w", err)
		}
		if old == "" {
			continue
		}
		if err := os.RemoveAll(old); err != nil {
			return swept, fmt.Errorf("remove function tree: %w", err)
		}
		swept.Files++
	}
	return swept, nil
}

// detach renames the directory called name, so that it can be removed while a new
// layout takes its place. It returns the new path, or "" if the directory stays,
// because it is in progress or young.
func (t *Trees) detach(digest lateen.Digest, name string, before time.Time) (string, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	dir := filepath.Join(t.dir, name)
	if t.layouts[digest] != nil {
		return "", nil
	}
	info, err := os.Lstat(dir)
	if err != nil || !info.ModTime().Before(before) {
		return "", err
	}
	if name != string(digest) {
		return dir, nil
	}
	old := dir + unfinished + lateen.NewHash(8)
	return old, os.Rename(dir, old)
}
