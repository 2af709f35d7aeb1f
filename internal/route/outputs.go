package route

import (
	"strings"

	"github.com/lateen-dev/lateen"
)

// output is what answers a path.
type output struct {
	kind Kind
	path string // in the manifest
}

// outputs are the outputs of a manifest by every path that reaches them, without
// a trailing slash: "/index" is also "/", "/a/index" and the file
// "/a/index.html" are also "/a". An exact path wins over the others, a prerender
// over a file and a file over a function of the same path.
type outputs map[string]output

// newOutputs indexes m without the outputs that hidden names and the functions
// that only queues and schedules call.
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
	all := make(outputs, len(exact))
	alias := func(suffix string, only func(output) bool) {
		for p, out := range exact {
			short, ok := strings.CutSuffix(p, suffix)
			if !ok || !only(out) {
				continue
			}
			if short == "" {
				short = "/"
			}
			if _, taken := all[short]; !taken {
				all[short] = out
			}
		}
	}
	alias("", func(output) bool { return true })
	alias("/index", func(output) bool { return true })
	alias("/index.html", func(out output) bool { return out.kind == Static })
	return all
}

// find returns the output at path s. A manifest's paths are not percent-encoded,
// but one that is stands for itself.
func (o outputs) find(s *subject) (output, bool) {
	if out, ok := o.at(s.path); ok || s.path == s.encoded && strings.IndexByte(s.path, '%') < 0 {
		return out, ok
	}
	if out, ok := o.at(decode(s.path, `/\`)); ok {
		return out, true
	}
	return o.at(s.encoded)
}

func (o outputs) at(path string) (output, bool) {
	if len(path) > 1 {
		path = strings.TrimSuffix(path, "/")
	}
	out, ok := o[path]
	return out, ok
}
