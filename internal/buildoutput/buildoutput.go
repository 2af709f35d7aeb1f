// Package buildoutput reads and validates a Build Output API v3 tree into a manifest.
//
// It has no side effects: it opens the few files that it must read through its
// [Source] and writes nothing. It trusts no input: it accepts a path of the upload
// only after a check that it stays inside the upload.
package buildoutput

import (
	"fmt"
	"io"
	"path"
	"slices"

	"github.com/lateen-dev/lateen"
)

// Source is an upload. Its root is the repository's root, like that of the paths in
// filePathMap.
type Source struct {
	Files map[string]File // by slash-separated relative path
	// Open returns the content of a file; it is called only for configuration files.
	Open func(lateen.Blob) (io.ReadCloser, error)
}

// File is a file of an upload or, with Link set, a symbolic link.
type File struct {
	lateen.Blob

	Mode uint32 // permission bits
	Link string // target as written
}

// Options are the location of the output and its expected environment.
type Options struct {
	// Root is the project's root directory: the output is in Root/.vercel/output or,
	// if that is missing, in .vercel/output. "" is the top of the upload.
	Root string
	// Target is the environment for which the output must have been built; ""
	// accepts any.
	Target lateen.Environment
}

// Output is a build output in the form that the platform serves.
type Output struct {
	Manifest *lateen.Manifest
	// Trees are the file systems of the functions, by the digest of their JSON.
	Trees map[lateen.Digest]*lateen.Tree
	// Notices tell the user about parts of the output that the platform serves
	// differently.
	Notices []string
}

// Limits of the input, far beyond the size of a normal build.
const (
	maxConfig   = 32 << 20 // bytes of config.json and the like
	maxFunction = 16 << 20 // bytes of one .vc-config.json
	maxText     = 4096     // characters of most strings

	maxConfigs     = 512 << 20 // all configuration in total
	maxTreeEntries = 4_000_000 // files of all functions in total
)

// Read reads the output in src. An error of type [lateen.Error] is caused by the
// user's input and names the file and the field: [lateen.ErrBuildOutput] and its
// variants, [lateen.ErrInvalidRoute], [lateen.ErrTreeInvalid],
// [lateen.ErrUploadPath]. Any other error is from Source.Open.
func Read(src Source, o Options) (*Output, error) {
	u, err := newUpload(src)
	if err != nil {
		return nil, err
	}
	r := &reader{
		upload: u,
		out: &Output{
			Manifest: &lateen.Manifest{Version: lateen.ManifestVersion},
			Trees:    make(map[lateen.Digest]*lateen.Tree),
		},
	}
	if err := r.locate(o.Root); err != nil {
		return nil, err
	}
	for _, read := range []func() error{
		func() error { return r.readBuilds(o.Target) },
		r.readConfig,
		r.readStatic,
		r.readImmutable,
		r.readFunctions,
		r.readPrerenders,
	} {
		if err := read(); err != nil {
			return nil, err
		}
	}
	return r.out, nil
}

// reader is the state of a Read.
type reader struct {
	upload    *upload
	dir       string // directory of the output in the upload
	overrides map[string]override
	out       *Output

	regional []string // functions with a choice of regions

	configs int64 // bytes read
	entries int   // in trees
	links   int   // to static directories
}

// locate finds the output's directory.
func (r *reader) locate(root string) error {
	dirs := []string{path.Join(root, ".vercel/output"), ".vercel/output"}
	i := slices.IndexFunc(dirs, func(dir string) bool {
		_, ok := r.upload.files[dir+"/config.json"]
		return ok
	})
	if i < 0 {
		return lateen.ErrBuildOutputMissing.With("%s/config.json is missing from the upload", dirs[0])
	}
	r.dir = dirs[i]
	for rel := range r.upload.under(r.dir + "/services") {
		if path.Base(rel) == "config.json" {
			return noServices()
		}
	}
	return nil
}

func noServices() *lateen.Error {
	return lateen.ErrBuildOutput.
		With("the output has services, which this platform does not serve yet").
		WithHint("deploy each service as a project of its own")
}

// document reads the JSON file called name of the output, of at most limit bytes.
func (r *reader) document(name string, limit int64) (*document, error) {
	file, err := r.upload.find(path.Join(r.dir, name))
	if err != nil {
		return nil, err
	}
	if r.configs += file.Size; file.Size > limit || r.configs > maxConfigs {
		return nil, lateen.ErrBuildOutput.With("%s is too large: %d bytes", name, file.Size)
	}
	f, err := r.upload.open(file.Blob)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", name, err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, file.Size))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	return parse(name, b)
}

func (r *reader) has(name string) bool {
	_, ok := r.upload.files[path.Join(r.dir, name)]
	return ok
}

func (r *reader) notice(format string, args ...any) {
	r.out.Notices = append(r.out.Notices, fmt.Sprintf(format, args...))
}

// outputPath returns the path of an output in the manifest, with a leading "/". An
// empty name is the index of the root.
func outputPath(name string) string {
	if name = path.Join("/", name); name == "/" {
		return "/index"
	}
	return name
}
