package client

import (
	"bytes"
	"context"
	"crypto/sha1" //nolint:gosec // the upload protocol's name for content
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/lateen-dev/lateen"
)

// Modes of files in the API, which are those of stat(2).
const (
	modeRegular = 0o100000
	modeLink    = 0o120000
)

// Errors of a directory that can't be deployed.
var (
	ErrNotBuilt = &lateen.Error{Code: lateen.Invalid, Reason: "not_built", Message: "the directory has no build output", Hint: "run `vercel build` first"}
	ErrMapped   = &lateen.Error{Code: lateen.Invalid, Reason: "build_output_incomplete", Message: "a file of a function is missing", Hint: "build again, and deploy from the directory that was built"}
	// ErrIrregular is about pipes, sockets and devices.
	ErrIrregular = &lateen.Error{Code: lateen.Invalid, Reason: "irregular_file", Message: "only files, directories and links can be deployed", Hint: "remove it from the build output"}
	ErrChanged   = &lateen.Error{Code: lateen.Conflict, Reason: "file_changed", Message: "a file changed while it was uploaded", Hint: "deploy again when the build is done"}
)

// source is a file to deploy, or a link, whose content is its target.
type source struct {
	lateen.UploadFile

	disk string // path of the file
	link string // target of the link
}

// open returns the content.
func (s *source) open() (io.ReadCloser, error) {
	if s.link != "" {
		return io.NopCloser(strings.NewReader(s.link)), nil
	}
	return os.Open(s.disk)
}

// scan lists the files of a build output in root (a folder of dir, or "."): its own
// files, and the files elsewhere in dir that its functions name.
func scan(dir, root string) ([]source, error) {
	output := filepath.Join(dir, root, ".vercel", "output")
	if _, err := os.Stat(filepath.Join(output, "config.json")); err != nil {
		return nil, ErrNotBuilt.With("%s not found", filepath.Join(output, "config.json")).Because(err)
	}
	found := make(map[string]source)
	var configs []string
	err := filepath.WalkDir(output, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		if entry.Name() == ".vc-config.json" && entry.Type().IsRegular() {
			configs = append(configs, name)
		}
		return add(found, dir, name)
	})
	if err != nil {
		return nil, fmt.Errorf("read the build output: %w", err)
	}
	for _, config := range configs {
		if err := addMapped(found, dir, config); err != nil {
			return nil, err
		}
	}
	sources := make([]source, 0, len(found))
	for _, s := range found {
		sources = append(sources, s)
	}
	slices.SortFunc(sources, func(a, b source) int { return strings.Compare(a.Path, b.Path) })
	return sources, nil
}

// addMapped adds the files that the filePathMap of a function names, relative
// to dir.
func addMapped(found map[string]source, dir, config string) error {
	text, err := os.ReadFile(config)
	if err != nil {
		return err
	}
	var c struct {
		FilePathMap map[string]string `json:"filePathMap"`
	}
	if err := json.Unmarshal(text, &c); err != nil {
		return ErrMapped.With("%s is not JSON", config).Because(err)
	}
	for _, name := range c.FilePathMap {
		if !filepath.IsLocal(filepath.FromSlash(name)) {
			return ErrMapped.With("%s names %q, which is outside of %s", config, name, dir)
		}
		err := add(found, dir, filepath.Join(dir, filepath.FromSlash(name)))
		if errors.Is(err, fs.ErrNotExist) {
			return ErrMapped.With("%s names %q, which is not there", config, name)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// add adds a file or link by its path on disk.
func add(found map[string]source, dir, name string) error {
	relative, err := filepath.Rel(dir, name)
	if err != nil {
		return err
	}
	relative = filepath.ToSlash(relative)
	if _, known := found[relative]; known {
		return nil
	}
	info, err := os.Lstat(name)
	if err != nil {
		return err
	}
	s := source{disk: name}
	s.Path, s.Mode, s.Size = relative, modeRegular|uint32(info.Mode().Perm()), info.Size()
	switch {
	case info.Mode()&fs.ModeSymlink != 0:
		target, err := os.Readlink(name)
		if err != nil {
			return err
		}
		s.link = filepath.ToSlash(target)
		s.Mode, s.Size = modeLink|0o777, int64(len(s.link))
	case !info.Mode().IsRegular():
		return ErrIrregular.With("%s is neither a file nor a link: it cannot be deployed", relative)
	}
	found[relative] = s
	return nil
}

// hashAll hashes every file, several concurrently.
func hashAll(ctx context.Context, sources []source, progress func(files int)) error {
	var mu sync.Mutex
	done := 0
	return parallel(ctx, 8, len(sources), func(ctx context.Context, i int) error {
		s := &sources[i]
		f, err := s.open()
		if err != nil {
			return err
		}
		defer f.Close()
		h := sha1.New() //nolint:gosec // see the import
		if s.Size, err = io.Copy(h, f); err != nil {
			return fmt.Errorf("read %s: %w", s.Path, err)
		}
		s.SHA1 = lateen.SHA1(hex.EncodeToString(h.Sum(nil)))
		mu.Lock()
		defer mu.Unlock()
		done++
		progress(done)
		return ctx.Err()
	})
}

// parallel calls fn for 0 to n-1, at most width concurrently, until a call fails.
func parallel(ctx context.Context, width, n int, fn func(ctx context.Context, i int) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var group sync.WaitGroup
	next := make(chan int)
	for range min(width, n) {
		group.Go(func() {
			for i := range next {
				if err := fn(ctx, i); err != nil {
					cancel(err)
				}
			}
		})
	}
feed:
	for i := range n {
		select {
		case next <- i:
		case <-ctx.Done():
			break feed
		}
	}
	close(next)
	group.Wait()
	return context.Cause(ctx)
}

// checked reads a file and returns an error at its end if the content has changed since
// it was hashed.
type checked struct {
	io.ReadCloser

	hash   hash.Hash
	want   *source
	read   int64
	passed func(n int) // called with the number of bytes read
}

// Read implements [io.Reader].
func (c *checked) Read(b []byte) (int, error) {
	n, err := c.ReadCloser.Read(b)
	_, _ = c.hash.Write(b[:n]) // never fails
	c.read += int64(n)
	if n > 0 {
		c.passed(n)
	}
	if c.read > c.want.Size || errors.Is(err, io.EOF) && !c.same() {
		return n, ErrChanged.With("%s changed while it was uploaded", c.want.Path)
	}
	return n, err
}

func (c *checked) same() bool {
	sum, err := hex.DecodeString(string(c.want.SHA1))
	return err == nil && bytes.Equal(sum, c.hash.Sum(nil))
}
