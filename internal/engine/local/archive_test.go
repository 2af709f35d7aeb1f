package local

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lateen-dev/lateen"
)

// packed is an archive as an agent sends it: names and contents in turn.
func packed(t testing.TB, files ...string) []byte {
	t.Helper()
	index := [][2]any{}
	var contents []byte
	for n := 0; n < len(files); n += 2 {
		index = append(index, [2]any{files[n], len(files[n+1])})
		contents = append(contents, files[n+1]...)
	}
	text, err := json.Marshal(index)
	if err != nil {
		t.Fatal(err)
	}
	return append(append(binary.LittleEndian.AppendUint32(nil, uint32(len(text))), text...), contents...)
}

func newArchives(t *testing.T, dir string, limit int64, build string) *archives {
	t.Helper()
	a, err := openArchives(dir, limit, build)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func mustPut(t *testing.T, a *archives, key lateen.FunctionKey, files ...string) {
	t.Helper()
	if err := a.put(key, "abc", bytes.NewReader(packed(t, files...))); err != nil {
		t.Fatal(err)
	}
}

func TestArchivesAreKeptAcrossRuns(t *testing.T) {
	dir := t.TempDir()
	a := newArchives(t, dir, 0, "agent-1")
	key := lateen.NewFunctionKey("dpl_1", "index")
	mustPut(t, a, key, "scripts", "code", "imports/v24-x/1", "more")
	for name, a := range map[string]*archives{"at once": a, "in the next run": newArchives(t, dir, 0, "agent-1")} {
		found := a.find(key, "abc")
		if found == nil || !found.scripts || !found.imports {
			t.Fatalf("%s: %+v", name, found)
		}
		if text, err := os.ReadFile(filepath.Join(found.dir, "imports", "v24-x", "1")); err != nil || string(text) != "more" {
			t.Errorf("%s: it has %q, %v", name, text, err)
		}
		if a.find(key, "abd") != nil || a.find(lateen.NewFunctionKey("dpl_2", "index"), "abc") != nil {
			t.Errorf("%s: others find it", name)
		}
	}
	if other := newArchives(t, dir, 0, "agent-2"); other.find(key, "abc") != nil {
		t.Error("another build of the agent finds it")
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*", "*", "*")); len(left) > 0 {
		t.Errorf("%q is left of what nobody can read", left)
	}
}

func TestArchivesStayWithinTheirBound(t *testing.T) {
	a := newArchives(t, t.TempDir(), 5*blockSize, "agent-1") // one takes a directory, a file and what is in it
	key := func(n int) lateen.FunctionKey {
		return lateen.NewFunctionKey("dpl_1", fmt.Sprint(n))
	}
	for n := range 3 {
		mustPut(t, a, key(n), "scripts", strings.Repeat("x", 40))
		a.known[must(a.name(key(n), "abc"))].used = time.Unix(int64(n), 0)
		if n == 1 {
			a.find(key(0), "abc") // so that it is not the first to go
		}
	}
	if a.find(key(0), "abc") == nil || a.find(key(1), "abc") != nil || a.find(key(2), "abc") == nil {
		t.Errorf("%d bytes are kept: %v", a.size, a.known)
	}
	a.forget("dpl_1")
	if a.size != 0 || len(a.known) != 0 {
		t.Errorf("%d bytes are left of a deployment that is forgotten", a.size)
	}
}

func must(name string, _ bool) string { return name }

func TestHostileArchivesAreRefused(t *testing.T) {
	key := lateen.NewFunctionKey("dpl_1", "index")
	raw := func(index string) []byte {
		return append(binary.LittleEndian.AppendUint32(nil, uint32(len(index))), index...)
	}
	dir := t.TempDir()
	a := newArchives(t, filepath.Join(dir, "archives"), 0, "agent-1")
	for name, sent := range map[string][]byte{
		"climbing":              packed(t, "../../out", "x"),
		"absolute":              packed(t, "/tmp/out", "x"),
		"twice":                 packed(t, "scripts", "x", "scripts", "y"),
		"below a file":          packed(t, "scripts", "x", "scripts/y", "y"),
		"cut short":             packed(t, "scripts", "xyz")[:20],
		"empty":                 nil,
		"long index":            binary.LittleEndian.AppendUint32(nil, 1<<31),
		"not JSON":              raw("hello"),
		"numbers":               raw("[[1,2]]"),
		"negative":              raw(`[["scripts",-1]]`),
		"larger than it may be": raw(`[["scripts",1e12]]`),
		"deep":                  packed(t, strings.Repeat("d/", 20)+"x", ""),
		"of many directories":   packed(t, directories(100)...),
	} {
		if err := a.put(key, "abc", bytes.NewReader(sent)); err == nil {
			t.Errorf("%s: it was taken", name)
		}
	}
	for _, tag := range []string{"", "../x", "a/b", ".."} {
		if err := a.put(key, tag, bytes.NewReader(packed(t, "scripts", "x"))); err == nil {
			t.Errorf("the tag %q was taken", tag)
		}
	}
	if err := a.put("../../dpl", "abc", bytes.NewReader(packed(t, "scripts", "x"))); err == nil {
		t.Error("a key that climbs was taken")
	}
	if a.find(key, "abc") != nil {
		t.Error("there is an archive")
	}
	if left, _ := os.ReadDir(dir); len(left) != 1 {
		t.Errorf("%v is beside the archives", left)
	}
}

// directories are names and contents of files, each in one of its own.
func directories(n int) []string {
	var files []string
	for n := range n {
		files = append(files, fmt.Sprintf("imports/%d/x", n), "")
	}
	return files
}

func FuzzUnpack(f *testing.F) {
	f.Add(packed(f, "scripts", "code", "imports/a/b", "more"))
	f.Add(packed(f, "../x", "code"))
	f.Fuzz(func(t *testing.T, sent []byte) {
		dir := t.TempDir()
		_ = unpack(filepath.Join(dir, "in"), bytes.NewReader(sent))
		if left, _ := os.ReadDir(dir); len(left) > 1 || len(left) == 1 && left[0].Name() != "in" {
			t.Errorf("%v was written outside", left)
		}
	})
}

const modular = `const { double } = require('./double.js');
module.exports = (req, res) => {
  if (req.url === '/throw') throw new Error('where');
  res.end(String(double(21)) + ' ' + require.resolve('./double.js') + ' ' + (require.main === module) + ' ' + typeof require.cache);
};
`

func TestFunctionsAnswerAlikeWithAnArchive(t *testing.T) {
	for _, runtime := range []string{"nodejs22.x", "nodejs24.x"} {
		t.Run(runtime, func(t *testing.T) {
			s := newStage(t, func(o *Options) { o.Templates = -1 })
			spec := s.function("modular", runtime, modular)
			double := filepath.Join(s.trees, string(spec.Function.Tree), "double.js")
			if err := os.WriteFile(double, []byte("#!/usr/bin/env node\nexports.double = (x) => x * 2;\n"), 0o644); err != nil {
				t.Fatal(err)
			}
			s.known.with(spec.Key, func(a *acquaintance) { a.busy = true }) // so that it has none
			plain, tag := s.body(spec, "/")
			s.known.with(spec.Key, func(a *acquaintance) { a.busy = false })
			if err := s.Prepare(t.Context(), spec); err != nil {
				t.Fatal(err)
			}
			var found *archive
			waitFor(t, "it is prepared", func() bool { // which the first answer may have set off
				found = s.archives.find(spec.Key, tag)
				return found != nil
			})
			if !found.scripts {
				t.Fatalf("its archive is %+v", found)
			}
			if again, _ := s.body(spec, "/"); again != plain || !strings.HasPrefix(plain, "42 ") {
				t.Errorf("with an archive it says %q, without %q", again, plain)
			}
			i := s.start(spec, "")
			if _, err := tryConsult(t, i, "/throw"); err == nil {
				t.Error("it does not throw")
			}
			waitFor(t, "the error is written", func() bool {
				for _, line := range s.logs.Lines() {
					if strings.Contains(line.Text, "Error: where") && strings.Contains(line.Text, "index.js:3:") {
						return true
					}
				}
				return false
			})
		})
	}
}

// body is what a function answers, and the tag of the process that did.
func (s *stage) body(spec lateen.FunctionSpec, path string) (body, tag string) {
	s.t.Helper()
	i := s.start(spec, "")
	resp, text := ask(s.t, i, "GET", path, "")
	if resp.StatusCode != 200 {
		s.t.Fatalf("%s: %s", resp.Status, text)
	}
	return text, i.tag
}

func TestBrokenArchivesAreReplaced(t *testing.T) {
	s := newStage(t, func(o *Options) { o.Templates = -1 })
	spec := s.function("broken", "nodejs24.x", "module.exports = (req, res) => res.end('{}');\n")
	i := s.start(spec, "")
	tag := i.tag
	for name, scripts := range map[string]string{
		"garbage":       "\xff\xff\xff\xffgarbage",
		"empty":         "",
		"of others":     string(packed(t)[:4]) + `{"root":"/elsewhere/","tag":"` + tag + `","files":{},"paths":{}}`,
		"rejected code": scriptsOf(tag, "not what V8 made"),
	} {
		t.Run(name, func(t *testing.T) {
			s.known.with(spec.Key, func(a *acquaintance) { a.busy = true }) // until it was used
			if err := s.archives.put(spec.Key, tag, bytes.NewReader(packed(t, "scripts", scripts))); err != nil {
				t.Fatal(err)
			}
			s.known.with(spec.Key, func(a *acquaintance) { a.busy, a.refined, a.prepared = false, false, time.Time{} })
			consult(t, s.start(spec, ""), "/")
			waitFor(t, "it is made anew", func() bool {
				found := s.archives.find(spec.Key, tag)
				if found == nil {
					return false
				}
				text, err := os.ReadFile(filepath.Join(found.dir, "scripts"))
				return err == nil && string(text) != scripts
			})
		})
	}
}

// scriptsOf is a well-formed archive whose code is none.
func scriptsOf(tag, code string) string {
	index := fmt.Sprintf(`{"root":"/var/task/","tag":%q,"files":{"index.js":[0,%d]},"paths":{}}`, tag, len(code))
	return string(binary.LittleEndian.AppendUint32(nil, uint32(len(index)))) + index + code
}

func waitFor(t testing.TB, what string, holds func() bool) {
	t.Helper()
	deadline := time.After(time.Minute)
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for !holds() {
		select {
		case <-ticker.C:
		case <-deadline:
			t.Fatalf("waited in vain until %s", what)
		}
	}
}
