package buildoutput

import (
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/lateen-dev/lateen"
)

const (
	immutablePrefix = "/_vercel/immutable/"
	maxStatic       = 500_000 // files
	maxStaticLinks  = 1000    // links to directories that are followed
)

// readStatic adds the static files to the manifest, with their overrides.
func (r *reader) readStatic() error {
	files := make(map[string]lateen.File)
	from := make(map[string]string) // path → static file
	err := r.eachStatic(path.Join(r.dir, "static"), "", func(rel string, file File) error {
		o := r.overrides[rel]
		delete(r.overrides, rel)
		at := outputPath(rel)
		if o.path != nil {
			at = outputPath(*o.path)
		}
		if len(files) == maxStatic {
			return lateen.ErrTooManyFiles.With("static has more than %d files, including those under links", maxStatic)
		}
		if other, taken := from[at]; taken {
			return lateen.ErrBuildOutput.With("static/%s and static/%s are both to be served at %s", other, rel, at)
		}
		from[at] = rel
		files[at] = lateen.File{Blob: file.Blob, ContentType: orElse(o.contentType, ContentType(rel)), Mode: orElse(o.mode&0o777, plainMode(file.Mode))}
		return nil
	})
	if err != nil {
		return err
	}
	for _, rel := range slices.Sorted(maps.Keys(r.overrides)) {
		r.notice("config.json: overrides[%q] is for a missing static file", rel)
	}
	r.out.Manifest.Files = files
	return nil
}

// eachStatic calls f with every file under dir, which is served at rel, and follows
// links.
func (r *reader) eachStatic(dir, rel string, f func(rel string, file File) error) error {
	for sub, name := range r.upload.under(dir) {
		file, rel := r.upload.files[name], path.Join(rel, sub)
		if file.Link == "" {
			if err := f(rel, file); err != nil {
				return err
			}
			continue
		}
		target, err := r.upload.resolve(name)
		if err != nil {
			return err
		}
		if file, ok := r.upload.files[target]; ok {
			err = f(rel, file)
		} else if r.links++; r.links > maxStaticLinks || target == "." || strings.HasPrefix(name, target+"/") {
			err = lateen.ErrBuildOutput.With("%s is a link to its own directory, or exceeds the limit of links to directories", name)
		} else {
			err = r.eachStatic(target, rel, f)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// readImmutable checks immutable.json, which has the full hashes of files that all
// deployments of a project share.
func (r *reader) readImmutable() error {
	const name = "immutable.json"
	if !r.has(name) {
		return nil
	}
	doc, err := r.document(name, maxConfig)
	if err != nil {
		return err
	}
	doc.value().field("version").must().integer(1, 1)
	hashes := doc.value().field("hashes")
	for _, at := range hashes.names(maxEntries) {
		hashes.field(at).must().text(maxText)
		if _, ok := r.out.Manifest.Files[at]; !ok || !strings.HasPrefix(at, immutablePrefix) {
			hashes.field(at).fail("is not the path of a static file below %s", immutablePrefix)
		}
	}
	return doc.failure()
}

// plainMode returns a normalized mode, executable or not: the other bits depend on
// the umask of the builder.
func plainMode(mode uint32) uint32 {
	if mode&0o111 != 0 {
		return 0o755
	}
	return 0o644
}

func orElse[T comparable](v, otherwise T) T {
	var zero T
	if v == zero {
		return otherwise
	}
	return v
}
