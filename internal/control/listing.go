package control

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/artifact"
)

// A listing is the list of the uploaded files of a deployment, stored as an
// artifact. The deployment can be assembled from it at any time.
type listing = lateen.Source

// The file types of stat(2) that an upload may contain.
const (
	modeType    = 0o170000
	modeDir     = 0o040000
	modeRegular = 0o100000
	modeLink    = 0o120000
)

const (
	outputConfig = ".vercel/output/config.json"
	archivePart  = ".vercel/source.tgz.part"
	maxPath      = 4096
	maxLink      = 4096
)

// keepListing checks the files of an upload, then stores the inline files and the
// listing. If the team has not uploaded some content, it returns
// [lateen.ErrMissingFiles] with a field for each SHA-1.
func (c *Control) keepListing(ctx context.Context, team lateen.TeamID, r *DeployRequest) (lateen.Digest, error) {
	files, err := c.checkFiles(r.Files)
	if err != nil {
		return "", err
	}
	root, prebuilt, err := c.outputRoot(ctx, team, r, files)
	if err != nil {
		return "", err
	}
	if !prebuilt {
		return "", lateen.ErrSourceBuild
	}
	sent, err := c.findUploads(ctx, team, files)
	if err != nil {
		return "", err
	}
	inline := int64(0)
	for i := range files {
		inline += int64(len(files[i].Data))
	}
	if inline > 0 {
		if err := c.reserveStorage(ctx, team, inline); err != nil {
			return "", err
		}
		defer func() { c.releaseStorage(team, inline) }()
	}
	l := listing{Files: make([]lateen.SourceFile, 0, len(files)), Root: root, Target: r.Target, Config: boundNames(r.Config)}
	for i := range files {
		source, err := c.sourceFile(ctx, &files[i], sent)
		if err != nil {
			return "", err
		}
		l.Files = append(l.Files, source)
	}
	blobs := make([]lateen.Blob, 0, len(l.Files))
	for _, f := range l.Files {
		if f.Link == "" {
			blobs = append(blobs, f.Blob)
		}
	}
	expected := inline
	inline = 0
	if err := c.hold(ctx, team, expected, blobs...); err != nil {
		return "", err
	}
	return artifact.WriteJSON(ctx, c.Artifacts, &l)
}

// boundNames limits the names of vercel.json fields to the number and the length
// that real ones have: the listing stores them only for the build log.
func boundNames(names []string) []string {
	const most, longest = 100, 64
	names = slices.DeleteFunc(slices.Clone(names), func(name string) bool { return len(name) > longest })
	return names[:min(len(names), most)]
}

// repeatListing stores the listing of an earlier deployment again, for any target.
func (c *Control) repeatListing(ctx context.Context, from lateen.Digest) (lateen.Digest, error) {
	l, err := artifact.ReadJSON[listing](ctx, c.Artifacts, from)
	if err != nil {
		return "", err
	}
	l.Target = ""
	return artifact.WriteJSON(ctx, c.Artifacts, l)
}

// outputRoot returns the directory whose .vercel/output is to be deployed: the root
// directory of the request's or the project's settings, or the top. It reports false
// if the upload contains no build output, neither as files nor, by the request, as
// an archive.
func (c *Control) outputRoot(ctx context.Context, team lateen.TeamID, r *DeployRequest, files []lateen.UploadFile) (root string, found bool, err error) {
	setting := r.Settings.RootDirectory
	if setting == nil {
		project, err := c.Store.GetProject(ctx, team, r.Project)
		if err != nil && !errors.Is(err, lateen.ErrProjectNotFound) {
			return "", false, err
		}
		if err == nil {
			setting = project.RootDirectory
		}
	}
	if setting != nil {
		root = strings.Trim(path.Clean("/"+*setting), "/")
	}
	has := func(name string) bool {
		_, ok := slices.BinarySearchFunc(files, name, func(f lateen.UploadFile, name string) int { return strings.Compare(f.Path, name) })
		return ok
	}
	archived := r.Prebuilt && slices.ContainsFunc(files, func(f lateen.UploadFile) bool { return strings.HasPrefix(f.Path, archivePart) })
	switch {
	case archived, has(path.Join(root, outputConfig)):
		return root, true, nil
	default:
		return "", has(outputConfig), nil
	}
}

// checkFiles returns the files and links of an upload, sorted by path.
func (c *Control) checkFiles(files []lateen.UploadFile) ([]lateen.UploadFile, error) {
	if len(files) > c.MaxFiles {
		return nil, lateen.ErrTooManyFiles.With("the deployment has %d files; the limit is %d", len(files), c.MaxFiles).
			WithHint("deploy with --archive=tgz")
	}
	kept := make([]lateen.UploadFile, 0, len(files))
	for _, f := range files {
		if err := checkPath(f.Path); err != nil {
			return nil, err
		}
		switch f.Mode & modeType {
		case modeDir:
			continue
		case 0, modeRegular, modeLink:
		default:
			return nil, lateen.ErrUploadPath.With("%q is neither a file, a folder nor a link (mode %o)", f.Path, f.Mode)
		}
		if f.SHA1 != "" && !f.SHA1.Valid() {
			return nil, lateen.ErrUploadDigest.With("the sha of %q is not a SHA-1: 40 lower-case hex digits", f.Path)
		}
		kept = append(kept, f)
	}
	slices.SortFunc(kept, func(a, b lateen.UploadFile) int { return strings.Compare(a.Path, b.Path) })
	for i := 1; i < len(kept); i++ {
		if before, f := kept[i-1].Path, kept[i].Path; before == f {
			return nil, lateen.ErrUploadPath.With("%q is listed twice", f)
		}
	}
	return kept, nil
}

func checkPath(name string) error {
	switch {
	case name == "" || len(name) > maxPath || strings.ContainsAny(name, "\x00\\"):
	case path.IsAbs(name) || path.Clean(name) != name || name == "." || name == ".." || strings.HasPrefix(name, "../"):
	default:
		return nil
	}
	return lateen.ErrUploadPath.With("%.200q is not a path within the upload", name)
}

// findUploads returns the uploaded content that files name, or an error if some is
// missing.
func (c *Control) findUploads(ctx context.Context, team lateen.TeamID, files []lateen.UploadFile) (map[lateen.SHA1]lateen.Blob, error) {
	wanted := make(map[lateen.SHA1]string)
	for _, f := range files {
		if f.SHA1 != "" {
			wanted[f.SHA1] = f.Path
		}
	}
	names := make([]lateen.SHA1, 0, len(wanted))
	for name := range wanted {
		names = append(names, name)
	}
	found, err := c.Store.FindUploads(ctx, team, names)
	if err != nil {
		return nil, err
	}
	missing := make(map[string]string)
	for _, name := range names {
		blob, ok := found[name]
		if ok {
			_, err := c.Artifacts.Size(ctx, blob.Digest)
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return nil, err
			}
			ok = err == nil
		}
		if !ok {
			missing[string(name)] = wanted[name] + " was not uploaded yet"
		}
	}
	if len(missing) > 0 {
		e := lateen.ErrMissingFiles.With("%d of %d files were not uploaded yet", len(missing), len(names))
		e.Fields = missing
		return nil, e
	}
	return found, nil
}

func (c *Control) sourceFile(ctx context.Context, f *lateen.UploadFile, sent map[lateen.SHA1]lateen.Blob) (lateen.SourceFile, error) {
	source := lateen.SourceFile{Path: f.Path, Mode: f.Mode &^ modeType & 0o777}
	var err error
	if f.SHA1 != "" {
		source.Blob = sent[f.SHA1]
		if f.Size != 0 && f.Size != source.Blob.Size {
			return source, lateen.ErrInvalid.With("%q is listed with %d bytes, but %d were uploaded", f.Path, f.Size, source.Blob.Size)
		}
	} else if source.Blob, err = c.keepInline(ctx, f); err != nil {
		return source, err
	}
	if f.Mode&modeType == modeLink {
		source.Link, err = c.readLink(ctx, f.Path, source.Blob)
		source.Blob, source.Mode = lateen.Blob{}, 0
	}
	return source, err
}

func (c *Control) keepInline(ctx context.Context, f *lateen.UploadFile) (lateen.Blob, error) {
	var body io.Reader = strings.NewReader(f.Data)
	switch f.Encoding {
	case "", "utf-8":
	case "base64":
		body = base64.NewDecoder(base64.StdEncoding, body)
	default:
		return lateen.Blob{}, lateen.ErrInvalid.With("%q has the encoding %q; supported are base64 and utf-8", f.Path, f.Encoding)
	}
	blob, err := c.Artifacts.Put(ctx, body, "")
	if _, malformed := errors.AsType[base64.CorruptInputError](err); malformed || errors.Is(err, io.ErrUnexpectedEOF) {
		err = lateen.ErrInvalid.With("the data of %q is not base64", f.Path).Because(err)
	}
	return blob, err
}

// readLink returns the target of a symbolic link, which is stored as its content.
func (c *Control) readLink(ctx context.Context, name string, blob lateen.Blob) (string, error) {
	if blob.Size == 0 || blob.Size > maxLink {
		return "", lateen.ErrUploadPath.With("the link %q has a target of %d bytes", name, blob.Size)
	}
	f, err := c.Artifacts.Open(ctx, blob.Digest)
	if err != nil {
		return "", fmt.Errorf("open the target of %s: %w", name, err)
	}
	defer f.Close()
	target, err := io.ReadAll(f)
	return string(target), err
}
