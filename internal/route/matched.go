package route

import (
	"slices"
	"strings"
)

// matchedHeader is the header by which a framework's output learns which of its pages
// is asked for.
const matchedHeader = "X-Matched-Path"

// matchedPath is the name by which out knows itself: what the routes of phase hit say in
// the header X-Matched-Path, which leave a framework's base path out; else its own
// path. since is how many fields there were before that phase.
func (w *walk) matchedPath(out output, since int) string {
	for _, f := range slices.Backward(w.fields[since:]) {
		if f.key == matchedHeader && len(f.values) > 0 {
			return spelledIn(out.path, f.values[0])
		}
	}
	if out.path == "/index" || w.isFrontPage(out) {
		return "/"
	}
	return out.path
}

// spelledIn returns the end of an output's path that name, which is percent-encoded, stands
// for; name itself where there is no such end.
func spelledIn(path, name string) string {
	encoded := encodePath(path)
	if encoded == name {
		return path
	}
	if base, ok := strings.CutSuffix(encoded, name); ok && strings.HasPrefix(path, base) {
		return path[len(base):]
	}
	return name
}

// isFrontPage reports whether the routes of phase hit give the header X-Matched-Path the
// value "/" for the index below out, and none for out itself: the index page of a base
// path may be an output of that name.
func (w *walk) isFrontPage(out output) bool {
	for i := range w.router.table[hit] {
		rl := &w.router.table[hit][i]
		for j := range rl.fields {
			if f := &rl.fields[j]; f.key == matchedHeader && len(f.values) == 1 && f.values[0] == "/" {
				at := w.at
				w.at = newSubject(out.path + "/index")
				ok, err := w.matchesRule(rl)
				w.at = at
				return ok && err == nil
			}
		}
	}
	return false
}
