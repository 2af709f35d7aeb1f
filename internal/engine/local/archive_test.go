package local

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/archive"
	"github.com/lateen-dev/lateen/internal/archive/archivetest"
)

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
			var found *archive.Archive
			waitFor(t, "it is prepared", func() bool { // which the first answer may have set off
				found = s.archives.Find(spec.Key, tag)
				return found != nil
			})
			if !found.Scripts {
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
		"of others":     string(archivetest.Packed(t)[:4]) + `{"root":"/elsewhere/","tag":"` + tag + `","files":{},"paths":{}}`,
		"rejected code": scriptsOf(tag, "not what V8 made"),
	} {
		t.Run(name, func(t *testing.T) {
			s.known.with(spec.Key, func(a *acquaintance) { a.busy = true }) // until it was used
			if err := s.archives.Put(spec.Key, tag, bytes.NewReader(archivetest.Packed(t, "scripts", scripts)), archive.Max); err != nil {
				t.Fatal(err)
			}
			s.known.with(spec.Key, func(a *acquaintance) { a.busy, a.refined, a.prepared = false, false, time.Time{} })
			consult(t, s.start(spec, ""), "/")
			waitFor(t, "it is made anew", func() bool {
				found := s.archives.Find(spec.Key, tag)
				if found == nil {
					return false
				}
				text, err := os.ReadFile(filepath.Join(found.Dir, "scripts"))
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
	deadline := time.After(patience)
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
