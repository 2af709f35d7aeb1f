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

// Trees lays out the file systems of functions, each once, as the directory
// <dir>/<digest of its [lateen.Tree]>. Files are shared with the store by hard
// link where it allows that, so nobody may ever write to one. Every user may
// read them.
type Trees struct {
	dir   string
	store Store

	mu     sync.Mutex // guards below
	making map[lateen.Digest]*making
}

// making is a layout in progress, shared by all who want it.
type making struct {
	done      chan struct{} // closed at the end; what follows is set before
	err       error
	abandoned bool // its context ended, which is no concern of the others
}

// linker is a store that can share a file instead of copying it.
type linker interface {
	Link(d lateen.Digest, name string) error
}

const unfinished = ".tmp-" // marks a directory that is being laid out

// NewTrees returns the trees in dir, made when needed, of what s keeps.
func NewTrees(dir string, s Store) *Trees {
	return &Trees{dir: dir, store: s, making: make(map[lateen.Digest]*making)}
}

// Dir returns the directory of the tree that is kept as JSON under digest,
// after laying it out if it is missing: whole or not at all. It refreshes the
// tree's age. The error is [lateen.ErrTreeInvalid] for a tree that can't be
// laid out safely and [fs.ErrNotExist] where it or a file of it is not kept.
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

// claim returns nil if the tree is there, and else the layout of it that is in
// progress, and whether it is the caller's to do.
func (t *Trees) claim(digest lateen.Digest, dir string) (m *making, mine bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if m := t.making[digest]; m != nil {
		return m, false
	}
	now := time.Now()
	if os.Chtimes(dir, now, now) == nil {
		return nil, false
	}
	m = &making{done: make(chan struct{})}
	t.making[digest] = m
	return m, true
}

func (t *Trees) release(digest lateen.Digest) {
	t.mu.Lock()
	defer t.mu.Unlock()
	close(t.making[digest].done)
	delete(t.making, digest)
}

// make lays out the tree beside its place, then moves it there. Links precede
// the rename in the file system's journal, copies are synced: after a crash
// the tree is whole or missing.
func (t *Trees) make(ctx context.Context, digest lateen.Digest, dir string) error {
	tree, err := ReadJSON[lateen.Tree](ctx, t.store, digest)
	if err != nil {
		return fmt.Errorf("function tree: %w", err)
	}
	if err := tree.Validate(); err != nil {
		return err
	}
	if err := os.MkdirAll(t.dir, 0o700); err != nil { // the engine opens it to guests that have to pass
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

// mkdirs makes the directory dir of root, and those above it, unless it is in made.
func mkdirs(root, dir string, made map[string]bool) error {
	if made[dir] {
		return nil
	}
	if err := mkdirs(root, path.Dir(dir), made); err != nil {
		return err
	}
	made[dir] = true
	name := filepath.Join(root, filepath.FromSlash(dir))
	return errors.Join(os.Mkdir(name, 0o755), os.Chmod(name, 0o755)) // whatever the umask says
}

// place creates one entry. Only copies can be executable: a linked file has
// the mode it is kept with.
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

// Sweep removes the trees that keep does not want and that nobody has asked for
// since before, and what was left half laid out.
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
		doomed, err := t.doom(digest, e.Name(), before)
		if err != nil {
			return swept, fmt.Errorf("remove function tree: %w", err)
		}
		if doomed == "" {
			continue
		}
		if err := os.RemoveAll(doomed); err != nil {
			return swept, fmt.Errorf("remove function tree: %w", err)
		}
		swept.Files++
	}
	return swept, nil
}

// doom takes the directory called name away from its name, so that it can be
// removed while a new layout takes its place, and returns where it is now: ""
// if it stays, because it is wanted, in progress or young.
func (t *Trees) doom(digest lateen.Digest, name string, before time.Time) (string, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	dir := filepath.Join(t.dir, name)
	if t.making[digest] != nil {
		return "", nil
	}
	if name != string(digest) {
		return dir, nil
	}
	info, err := os.Lstat(dir)
	if err != nil || !info.ModTime().Before(before) {
		return "", err
	}
	doomed := dir + unfinished + lateen.NewHash(8)
	return doomed, os.Rename(dir, doomed)
}
