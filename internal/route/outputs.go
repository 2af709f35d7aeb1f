package route

import (
	"cmp"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/lateen-dev/lateen"
)

// output is an output of the manifest.
type output struct {
	kind Kind
	path string // in the manifest
}

// outputs maps every path to its output, without a trailing slash: "/index" is also
// "/", "/a/index" and "/a/index.html" are also "/a", and so is "/a/index.js" or
// another extension if neither of these exists (see [isIndex]). An exact path wins
// over the others, a prerender over a file and a file over a function of the same
// path.
type outputs map[string]output

// newOutputs indexes m, without the outputs in hidden and without functions that
// only queues and schedules call.
func newOutputs(m *lateen.Manifest, hidden map[string]bool) outputs {
	exact := make(outputs, len(m.Files)+len(m.Outputs)+len(m.Prerenders))
	for p, name := range m.Outputs {
		if fn := m.Functions[name]; !hidden[p] && len(fn.Triggers) == 0 {
			exact[p] = output{kind: Function, path: p}
		}
	}
	for p := range m.Files {
		exact[p] = output{kind: Static, path: p}
	}
	for p := range m.Prerenders {
		exact[p] = output{kind: Prerender, path: p}
	}
	all := maps.Clone(exact)
	var indexes []string
	for p := range exact {
		if isIndex(p) {
			indexes = append(indexes, p)
		}
	}
	slices.SortFunc(indexes, byPrecedence)
	for _, p := range indexes {
		dir := path.Dir(p)
		if _, taken := all[dir]; !taken {
			all[dir] = exact[p]
		}
	}
	return all
}

// isIndex reports whether the output at p answers for its directory: its base name
// without the last extension is "index". Builders name a function after its source
// ("/api/index.js"). The exceptions are the forms of a page that Next.js puts next
// to it or below /_next: payloads (.rsc) and data (.json).
func isIndex(p string) bool {
	base := path.Base(p)
	extension := path.Ext(base)
	return strings.TrimSuffix(base, extension) == "index" && extension != ".rsc" && !strings.Contains(p, "/_next/")
}

// byPrecedence orders indexes of one directory: "index", "index.html", the rest.
func byPrecedence(a, b string) int {
	rank := func(p string) int { return slices.Index([]string{".html", ""}, path.Ext(p)) }
	return cmp.Or(cmp.Compare(rank(b), rank(a)), cmp.Compare(a, b))
}

// find returns the output at path s. The paths of a manifest are not
// percent-encoded, but a manifest path that is percent-encoded matches literally.
func (o outputs) find(s *subject) (output, bool) {
	if out, ok := o.at(s.path); ok || s.path == s.encoded && strings.IndexByte(s.path, '%') < 0 {
		return out, ok
	}
	if out, ok := o.at(decode(s.path, `/\`)); ok {
		return out, true
	}
	return o.at(s.encoded)
}

func (o outputs) at(p string) (output, bool) {
	if len(p) > 1 {
		p = strings.TrimSuffix(p, "/")
	}
	out, ok := o[p]
	return out, ok
}
