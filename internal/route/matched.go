package route

import (
	"slices"
	"strings"
)

// matchedHeader is the header in which a framework's output receives the path of the
// requested page.
const matchedHeader = "X-Matched-Path"

// matchedPath is the path by which out identifies itself: the value of
// X-Matched-Path from the routes of phase hit, which omit a framework's base path;
// else its own path. since is the number of fields before that phase.
func (w *walk) matchedPath(out output, since int) string {
	for _, f := range slices.Backward(w.fields[since:]) {
		if f.key == matchedHeader && len(f.values) > 0 {
			return decodedSuffix(out.path, f.values[0])
		}
	}
	if out.path == "/index" || w.isFrontPage(out) {
		return "/"
	}
	return out.path
}

// decodedSuffix returns the end of an output's path that equals the percent-encoded
// name; name itself if the path has no such end.
func decodedSuffix(path, name string) string {
	encoded := encodePath(path)
	if encoded == name {
		return path
	}
	if base, ok := strings.CutSuffix(encoded, name); ok && strings.HasPrefix(path, base) {
		return path[len(base):]
	}
	return name
}

// isFrontPage reports whether the routes of phase hit set X-Matched-Path to "/" for
// the index below out, and do not set it for out itself: the index page of a base
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
