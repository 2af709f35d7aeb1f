package assemble

import (
	"archive/tar"
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/artifact"
)

const (
	archivePart = ".vercel/source.tgz.part" // followed by its number, from 1
	maxPath     = 4096                      // limit of a path or link in an archive, in bytes
	small       = 1 << 20                   // size up to which a file is buffered in memory, to store several at once
)

// unpack replaces the archive among files, if any, by its content. An archive is one
// gzipped tar, split into numbered parts.
func (b *Builder) unpack(ctx context.Context, files []lateen.SourceFile, onStore func(lateen.Blob) error, log func(string)) (unpacked []lateen.SourceFile, err error) {
	var parts, plain []lateen.SourceFile
	for _, f := range files {
		if strings.HasPrefix(f.Path, archivePart) {
			parts = append(parts, f)
		} else {
			plain = append(plain, f)
		}
	}
	if len(parts) == 0 {
		return files, nil
	}
	ctx, end := lateen.StartSpan(ctx, "unpack the archive")
	defer end(&err)
	if err := sortParts(parts); err != nil {
		return nil, err
	}
	began := time.Now()
	joined := &partReader{ctx: ctx, store: b.Artifacts, parts: parts}
	defer joined.Close()
	if onStore == nil {
		onStore = func(lateen.Blob) error { return nil }
	}
	a := &archive{builder: b, files: make(map[string]*lateen.SourceFile), onStore: onStore}
	if err := a.read(ctx, joined); err != nil {
		return nil, err
	}
	log(fmt.Sprintf("Unpacked %s (%s) from %s in %s", count(len(a.files), "file"), size(a.bytes), count(len(parts), "archive part"), took(began)))
	for _, f := range plain {
		delete(a.files, f.Path)
	}
	for _, f := range a.files {
		plain = append(plain, *f)
	}
	return plain, nil
}

// sortParts sorts parts by their numbers, which must be 1 to n.
func sortParts(parts []lateen.SourceFile) error {
	number := func(f lateen.SourceFile) int {
		n, err := strconv.Atoi(strings.TrimPrefix(f.Path, archivePart))
		if err != nil {
			return -1
		}
		return n
	}
	slices.SortFunc(parts, func(a, b lateen.SourceFile) int { return cmp.Compare(number(a), number(b)) })
	for i, f := range parts {
		if number(f) != i+1 || f.Link != "" {
			return lateen.ErrUploadArchive.With("%s%d is missing from the upload", archivePart, i+1)
		}
	}
	return nil
}

// archive is an archive being unpacked.
type archive struct {
	builder *Builder
	files   map[string]*lateen.SourceFile // by path; the last entry of a path counts
	onStore func(lateen.Blob) error       // called with each stored content
	entries int
	bytes   int64
}

// read unpacks the archive in from. It stores content while it reads the next files.
func (a *archive) read(ctx context.Context, from io.Reader) error {
	joined := &noting{r: from}
	puts, putting := errgroup.WithContext(ctx)
	puts.SetLimit(inFlight)
	err := a.readEntries(putting, joined, puts)
	if putErr := puts.Wait(); putErr != nil {
		return putErr
	}
	if joined.err != nil { // an error of the store, not of the archive
		return joined.err
	}
	return err
}

// readEntries reads all entries and the end of the archive, which verifies its
// checksum.
func (a *archive) readEntries(ctx context.Context, from io.Reader, puts *errgroup.Group) error {
	unzipped, err := gzip.NewReader(from)
	if err != nil {
		return broken(err)
	}
	entries := tar.NewReader(unzipped)
	for {
		header, err := entries.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return broken(err)
		}
		if err := a.readEntry(ctx, header, entries, puts); err != nil {
			return err
		}
	}
	n, err := io.CopyN(io.Discard, unzipped, small)
	if err == nil || n == small {
		return lateen.ErrUploadArchive.With("the archive has data after its end")
	}
	if !errors.Is(err, io.EOF) {
		return broken(err)
	}
	return nil
}

// readEntry reads one file or link.
func (a *archive) readEntry(ctx context.Context, header *tar.Header, content io.Reader, puts *errgroup.Group) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	a.entries++
	a.bytes += min(header.Size, a.builder.MaxBytes+1)
	switch name := path.Clean(header.Name); {
	case a.entries > a.builder.MaxFiles:
		return lateen.ErrTooManyFiles.With("the archive has more than %d files", a.builder.MaxFiles)
	case a.bytes > a.builder.MaxBytes:
		return lateen.ErrTooLarge.With("the archive unpacks to more than %s", size(a.builder.MaxBytes))
	case !fs.ValidPath(name) || len(name) > maxPath || strings.ContainsRune(name, 0):
		return lateen.ErrUploadPath.With("%.200q is not a path within the upload", header.Name)
	case header.Typeflag == tar.TypeDir:
		return nil
	case header.Typeflag == tar.TypeSymlink && header.Linkname != "" && len(header.Linkname) <= maxPath:
		a.files[name] = &lateen.SourceFile{Path: name, Link: header.Linkname}
		return nil
	case header.Typeflag == tar.TypeReg && name != ".":
		f := &lateen.SourceFile{Path: name, Mode: uint32(header.FileInfo().Mode().Perm())}
		a.files[name] = f
		return a.put(ctx, f, header.Size, content, puts)
	default:
		return lateen.ErrUploadArchive.With("%.200q in the archive is neither a file, a directory nor a link", header.Name)
	}
}

// put stores the content of f, a small one in the background.
func (a *archive) put(ctx context.Context, f *lateen.SourceFile, size int64, content io.Reader, puts *errgroup.Group) (err error) {
	if size > small {
		noted := &noting{r: content}
		f.Blob, err = a.builder.Artifacts.Put(ctx, noted, "")
		if noted.err != nil {
			return broken(noted.err)
		}
		if err != nil {
			return err
		}
		return a.onStore(f.Blob)
	}
	b, err := io.ReadAll(content)
	if err != nil {
		return broken(err)
	}
	puts.Go(func() (err error) {
		if f.Blob, err = a.builder.Artifacts.Put(ctx, bytes.NewReader(b), ""); err != nil {
			return err
		}
		return a.onStore(f.Blob)
	})
	return nil
}

// broken returns the error of an archive that can't be read further.
func broken(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return lateen.ErrUploadArchive.With("the archive of the upload ends too early")
	}
	return lateen.ErrUploadArchive.With("the archive of the upload can't be unpacked: %s", err.Error())
}

// noting records the error that ended a stream early.
type noting struct {
	r   io.Reader
	err error
}

func (n *noting) Read(p []byte) (int, error) {
	count, err := n.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		n.err = err
	}
	return count, err
}

// partReader reads the content of parts one after another.
type partReader struct {
	ctx   context.Context //nolint:containedctx // ends with the call that creates it
	store artifact.Store
	parts []lateen.SourceFile
	open  io.ReadCloser // the first part; nil before its first read
}

func (p *partReader) Read(b []byte) (int, error) {
	for len(p.parts) > 0 {
		if p.open == nil {
			f, err := p.store.Open(p.ctx, p.parts[0].Blob.Digest)
			if err != nil {
				return 0, fmt.Errorf("open %s: %w", p.parts[0].Path, err)
			}
			p.open = f
		}
		n, err := p.open.Read(b)
		if !errors.Is(err, io.EOF) {
			return n, err
		}
		p.Close()
		p.parts = p.parts[1:]
		if n > 0 {
			return n, nil
		}
	}
	return 0, io.EOF
}

// Close closes the current part.
func (p *partReader) Close() {
	if p.open != nil {
		p.open.Close()
		p.open = nil
	}
}
