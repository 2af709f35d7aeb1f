package assemble_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/assemble"
)

// entry is an entry of an archive.
type entry struct {
	name, content, link string
	kind                byte  // 0: a file, or a link if link is set
	size                int64 // size in the header; 0 is the actual size
	exec                bool
}

func pack(t testing.TB, entries ...entry) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	for _, e := range entries {
		h := &tar.Header{Name: e.name, Linkname: e.link, Mode: 0o644, Size: max(e.size, int64(len(e.content))), Typeflag: e.kind}
		if e.exec {
			h.Mode = 0o755
		}
		switch {
		case e.kind != 0:
		case e.link != "":
			h.Typeflag = tar.TypeSymlink
		default:
			h.Typeflag = tar.TypeReg
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(e.content)); err != nil {
			t.Fatal(err)
		}
	}
	_ = w.Close() // fails if a header has a wrong size
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// packSite archives the sample site like a client.
func packSite(t testing.TB, more ...entry) []byte {
	t.Helper()
	var entries []entry
	files := site()
	for _, name := range slices.Sorted(maps.Keys(files)) {
		e := entry{name: name, content: files[name]}
		if link, target, ok := strings.Cut(name, " -> "); ok {
			e = entry{name: link, link: target}
		} else if exec, ok := strings.CutSuffix(name, "*"); ok {
			e.name, e.exec = exec, true
		}
		entries = append(entries, e)
	}
	return pack(t, append(entries, more...)...)
}

// parts splits an archive into n parts, listed in reverse order.
func (p *platform) parts(archive []byte, n int) lateen.Source {
	var src lateen.Source
	for i := n; i > 0; i-- {
		from, to := len(archive)*(i-1)/n, len(archive)*i/n
		src.Files = append(src.Files, p.keep(fmt.Sprintf(".vercel/source.tgz.part%d", i), string(archive[from:to])))
	}
	return src
}

func TestAssembleUnpacksAnArchive(t *testing.T) {
	p := newPlatform(t)
	want, _ := p.mustAssemble(p.upload(site()))
	for _, n := range []int{1, 2, 11} {
		got, _ := p.mustAssemble(p.parts(packSite(t), n))
		if got != want {
			t.Errorf("in %d parts the manifest is another than that of the files", n)
		}
		if line := p.lines[0]; !strings.HasPrefix(line, "Unpacked 13 files (") {
			t.Errorf("build log %q", line)
		}
	}
}

func TestAssembleAcceptsUsualArchives(t *testing.T) {
	p := newPlatform(t)
	large := strings.Repeat("0123456789abcdef", 1<<17) // larger than the memory buffer
	archive := packSite(t,
		entry{name: "./", kind: tar.TypeDir},
		entry{name: "./.vercel/output/static/", kind: tar.TypeDir},
		entry{name: "./.vercel/output/static/large.bin", content: large},
		entry{name: ".vercel/output/static/twice.txt", content: "first"},
		entry{name: ".vercel/output/static/twice.txt", content: "second"},
		entry{name: ".vercel/output/static/" + strings.Repeat("long/", 60) + "name.txt", content: "deep"},
		entry{name: ".vercel/output/static/listed.txt", content: "in the archive"},
	)
	src := p.parts(archive, 3)
	src.Files = append(src.Files, p.keep(".vercel/output/static/listed.txt", "beside the archive"))
	_, m := p.mustAssemble(src)
	got := map[string]string{}
	for _, path := range []string{"/large.bin", "/twice.txt", "/" + strings.Repeat("long/", 60) + "name.txt", "/listed.txt"} {
		got[path] = p.read(m.Files[path].Digest)
	}
	want := map[string]string{"/large.bin": large, "/twice.txt": "second", "/" + strings.Repeat("long/", 60) + "name.txt": "deep", "/listed.txt": "beside the archive"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestAssembleRefusesBrokenAndHostileArchives(t *testing.T) {
	good := packSite(t)
	damaged := bytes.Clone(good)
	damaged[len(damaged)/2] ^= 0xff
	var trailing bytes.Buffer
	z := gzip.NewWriter(&trailing)
	_, _ = z.Write(make([]byte, 4<<20))
	_ = z.Close()
	many := make([]entry, 200)
	for i := range many {
		many[i] = entry{name: fmt.Sprint("f", i)}
	}
	p := newPlatform(t, func(o *assemble.Options) { o.MaxFiles, o.MaxBytes = 100, 10_000_000 })
	for name, test := range map[string]struct {
		archive []byte
		want    error
		message string
	}{
		"empty":             {nil, lateen.ErrUploadArchive, "ends too early"},
		"not an archive":    {[]byte("PK\x03\x04 this is a zip, not a tar"), lateen.ErrUploadArchive, "can't be unpacked"},
		"truncated":         {good[:len(good)*2/3], lateen.ErrUploadArchive, "ends too early"},
		"without checksum":  {good[:len(good)-4], lateen.ErrUploadArchive, "ends too early"},
		"damaged":           {damaged, lateen.ErrUploadArchive, ""},
		"endless":           {append(bytes.Clone(good), trailing.Bytes()...), lateen.ErrUploadArchive, "has data after its end"},
		"file cut short":    {pack(t, entry{name: "a", content: "x", size: 5000}), lateen.ErrUploadArchive, "ends too early"},
		"path outside":      {packSite(t, entry{name: "../../etc/passwd", content: "x"}), lateen.ErrUploadPath, `"../../etc/passwd" is not a path`},
		"absolute path":     {packSite(t, entry{name: "/etc/passwd", content: "x"}), lateen.ErrUploadPath, `"/etc/passwd" is not a path`},
		"path of nothing":   {packSite(t, entry{name: ".", content: "x"}), lateen.ErrUploadArchive, "is neither"},
		"device":            {packSite(t, entry{name: "null", kind: tar.TypeChar}), lateen.ErrUploadArchive, `"null" in the archive is neither`},
		"pipe":              {packSite(t, entry{name: "pipe", kind: tar.TypeFifo}), lateen.ErrUploadArchive, "is neither"},
		"hard link":         {packSite(t, entry{name: "hard", link: "/etc/passwd", kind: tar.TypeLink}), lateen.ErrUploadArchive, "is neither"},
		"too many files":    {pack(t, many...), lateen.ErrTooManyFiles, "more than 100 files"},
		"too large":         {pack(t, entry{name: "zeros", content: strings.Repeat("\x00", 11<<20)}), lateen.ErrTooLarge, "more than 10.0 MB"},
		"too large to tell": {pack(t, entry{name: "zeros", content: "x", size: 1 << 62}), lateen.ErrTooLarge, "more than 10.0 MB"},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := p.assemble(p.parts(test.archive, 1))
			if !errors.Is(err, test.want) || !strings.Contains(err.Error(), test.message) {
				t.Errorf("error %v, want %v with %q", err, test.want, test.message)
			}
		})
	}
}

func TestAssembleRefusesMissingParts(t *testing.T) {
	p := newPlatform(t)
	whole := p.parts(packSite(t), 3)
	for name, files := range map[string][]lateen.SourceFile{
		"the last": whole.Files[1:], // the archive ends early
		"the next": {whole.Files[0], whole.Files[2]},
		"a number": append(whole.Files, p.keep(".vercel/source.tgz.partX", "")),
		"a twin":   append(whole.Files, p.keep(".vercel/source.tgz.part02", "")),
		"a link":   append(whole.Files[1:], p.keep(".vercel/source.tgz.part3 -> part2", "")),
	} {
		if _, _, err := p.assemble(lateen.Source{Files: slices.Clone(files)}); !errors.Is(err, lateen.ErrUploadArchive) {
			t.Errorf("without %s: %v, want ErrUploadArchive", name, err)
		}
	}
}

func TestAFailureOfTheStoreIsAnInternalError(t *testing.T) {
	p := newPlatform(t)
	src := p.parts(packSite(t), 2)
	src.Files[0].Blob.Digest = lateen.DigestOf([]byte("never kept"))
	if _, _, err := p.assemble(src); err == nil || lateen.CodeOf(err) != lateen.Internal {
		t.Errorf("error %v, want an internal error", err)
	}
}

// FuzzAssembleArchive unpacks arbitrary archives: the result must be a manifest or
// an error of the user.
func FuzzAssembleArchive(f *testing.F) {
	f.Add(packSite(f), 1)
	f.Add(packSite(f, entry{name: "../x"}, entry{name: "a", link: "../../b"}), 2)
	f.Add(pack(f, entry{name: ".vercel/output/config.json", content: `{"version":3}`}, entry{name: "../../é"}), 1)
	shared := newPlatform(f, func(o *assemble.Options) { o.MaxBytes = 1 << 20 })
	f.Fuzz(func(t *testing.T, archive []byte, n int) {
		p := &platform{Builder: shared.Builder, t: t, store: shared.store}
		n = min(max(n, 1), 5)
		_, _, err := p.assemble(p.parts(archive, n))
		if err != nil && lateen.CodeOf(err) != lateen.Invalid {
			t.Fatalf("an internal error: %v", err)
		}
	})
}
