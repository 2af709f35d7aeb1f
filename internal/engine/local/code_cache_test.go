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
	"github.com/lateen-dev/lateen/internal/codecache"
	"github.com/lateen-dev/lateen/internal/codecache/codecachetest"
	"github.com/lateen-dev/lateen/internal/engine/local/learn"
)

const modular = `const { double } = require('./double.js');
module.exports = (req, res) => {
  if (req.url === '/throw') throw new Error('where');
  res.end(String(double(21)) + ' ' + require.resolve('./double.js') + ' ' + (require.main === module) + ' ' + typeof require.cache);
};
`

func TestResponsesAreTheSameWithACodeCache(t *testing.T) {
	for _, runtime := range []string{"nodejs22.x", "nodejs24.x"} {
		t.Run(runtime, func(t *testing.T) {
			s := newStage(t, func(o *Options) { o.Templates = -1 })
			spec := s.function("modular", runtime, modular)
			double := filepath.Join(s.trees, string(spec.Function.Tree), "double.js")
			if err := os.WriteFile(double, []byte("#!/usr/bin/env node\nexports.double = (x) => x * 2;\n"), 0o644); err != nil {
				t.Fatal(err)
			}
			s.learner.With(spec.Key, func(a *learn.Profile) { a.Preparing = true }) // prevents a preparation
			plain, tag := s.body(spec, "/")
			s.learner.With(spec.Key, func(a *learn.Profile) { a.Preparing = false })
			if err := s.Prepare(t.Context(), spec); err != nil {
				t.Fatal(err)
			}
			var found *codecache.Archive
			waitFor(t, "the function is prepared", func() bool { // the first response may have triggered it
				found = s.archives.Find(spec.Key, tag)
				return found != nil
			})
			if !found.Scripts {
				t.Fatalf("code cache: %+v", found)
			}
			if again, _ := s.body(spec, "/"); again != plain || !strings.HasPrefix(plain, "42 ") {
				t.Errorf("response with a code cache: %q, without: %q", again, plain)
			}
			i := s.start(spec, "")
			if _, err := tryProbe(t, i, "/throw"); err == nil {
				t.Error("the function did not throw")
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

// body returns the body of a response, and the code cache tag of its process.
func (s *stage) body(spec lateen.FunctionSpec, path string) (body, tag string) {
	s.t.Helper()
	i := s.start(spec, "")
	resp, text := ask(s.t, i, "GET", path, "")
	if resp.StatusCode != 200 {
		s.t.Fatalf("%s: %s", resp.Status, text)
	}
	return text, i.Tag
}

func TestBrokenCodeCachesAreReplaced(t *testing.T) {
	s := newStage(t, func(o *Options) { o.Templates = -1 })
	spec := s.function("broken", "nodejs24.x", "module.exports = (req, res) => res.end('{}');\n")
	i := s.start(spec, "")
	tag := i.Tag
	for name, scripts := range map[string]string{
		"garbage":       "\xff\xff\xff\xffgarbage",
		"empty":         "",
		"another root":  string(codecachetest.Packed(t)[:4]) + `{"root":"/elsewhere/","tag":"` + tag + `","files":{},"paths":{}}`,
		"rejected code": scriptsOf(tag, "not what V8 made"),
	} {
		t.Run(name, func(t *testing.T) {
			s.learner.With(spec.Key, func(a *learn.Profile) { a.Preparing = true }) // until an instance has used it
			if err := s.archives.Put(spec.Key, tag, bytes.NewReader(codecachetest.Packed(t, "scripts", scripts)), codecache.Max); err != nil {
				t.Fatal(err)
			}
			s.learner.With(spec.Key, func(a *learn.Profile) { a.Preparing, a.Trained, a.LastTried = false, false, time.Time{} })
			askProbe(t, s.start(spec, ""), "/")
			waitFor(t, "a new code cache exists", func() bool {
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

// scriptsOf returns a well-formed code cache whose code V8 rejects.
func scriptsOf(tag, code string) string {
	index := fmt.Sprintf(`{"root":"/var/task/","tag":%q,"files":{"index.js":[0,%d]},"paths":{}}`, tag, len(code))
	return string(binary.LittleEndian.AppendUint32(nil, uint32(len(index)))) + index + code
}

func waitFor(t testing.TB, what string, memory func() bool) {
	t.Helper()
	deadline := time.After(waitLimit)
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for !memory() {
		select {
		case <-ticker.C:
		case <-deadline:
			t.Fatalf("timeout while waiting until %s", what)
		}
	}
}
