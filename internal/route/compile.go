package route

import (
	"errors"
	"fmt"
	"maps"
	"net/textproto"
	"slices"
	"strings"

	"github.com/lateen-dev/lateen"
)

// The bounds of a route in the format.
const (
	maxPattern    = 4096 // bytes of src, dest and a condition's value
	maxConditions = 16   // items of has, and of missing
)

// phase is a part of the route table; see [Router.Resolve] for the order.
type phase int

const (
	start phase = iota // the routes before any handle
	filesystem
	miss
	rewrite
	resource
	hit
	failure // handle: error
	phases  // number of phases
)

// phaseOf returns the phase that a handle starts.
func phaseOf(handle string) (phase, bool) {
	i := slices.Index([]string{"", "filesystem", "miss", "rewrite", "resource", "hit", "error"}, handle)
	return phase(i), i > 0
}

// rule is a compiled route.
type rule struct {
	src           *pattern
	grouped       bool // a match needs the groups of src
	methods       []string
	has           []condition
	missing       []condition
	captures      int // number of values that the conditions capture
	dest          template
	rewrites      bool // there is a dest
	external      bool // dest begins with a scheme
	mayBeExternal bool // dest begins with a value of the environment, which may have a scheme
	fields        []ruleField
	important     bool
	status        int
	check         bool
	continues     bool // later routes of the phase are tried after this one
	refuses       bool // see [rule.isRefusal]

	middleware   string // path of its output
	locale       *lateen.Locale
	mitigate     string
	transforms   []transform
	ignoreOrigin bool
}

// ruleField is a header that a route sets.
type ruleField struct {
	key    string
	value  template
	values []string // the value if it has no parameters
}

// compileTable splits routes at their handles and compiles each, within b.
func compileTable(m *lateen.Manifest, b *budget, p patterns) (table [phases][]rule, err error) {
	at := start
	var seen [phases]bool
	routes := m.Routes
	for i := range routes {
		if routes[i].Handle != "" {
			next, ok := phaseOf(routes[i].Handle)
			switch {
			case !ok:
				return table, invalid(i, "handle", fmt.Errorf("unknown phase %q", routes[i].Handle))
			case seen[next]:
				return table, invalid(i, "handle", fmt.Errorf("duplicate phase %s", routes[i].Handle))
			}
			at, seen[next] = next, true
			continue
		}
		began := b.now()
		rl, field, err := compileRule(&routes[i], at, p)
		output, _, _ := strings.Cut(routes[i].Dest, "?")
		_, kept := m.Prerenders[output]
		rl.dest.keepEscapes(kept)
		if err == nil {
			field, err = "src", b.spend(rl.bytes(), began)
		}
		if err != nil {
			return table, invalid(i, field, err)
		}
		table[at] = append(table[at], rl)
	}
	return table, nil
}

func invalid(index int, field string, err error) error {
	where := fmt.Sprintf("routes[%d].%s", index, field)
	e := lateen.ErrInvalidRoute.With("%s of config.json: %s", where, err)
	e.Fields = map[string]string{where: err.Error()}
	return e
}

// compileRule compiles r, a route of phase at. An error comes with the name of the
// invalid field.
func compileRule(r *lateen.Route, at phase, p patterns) (rl rule, field string, err error) {
	if field, err = checkRoute(r, at); err != nil {
		return rl, field, err
	}
	if rl.src, err = p.compile(anchored(r.Src), !r.CaseSensitive); err != nil {
		return rl, "src", err
	}
	names := &scope{groups: rl.src.names, env: r.Env, patterns: p}
	if rl.has, err = compileConditions(r.Has, names); err != nil {
		return rl, "has", err
	}
	if rl.missing, err = compileConditions(r.Missing, names); err != nil {
		return rl, "missing", err
	}
	rl.captures = len(names.captures)
	rl.setDest(r.Dest, names)
	for _, key := range slices.Sorted(maps.Keys(r.Headers)) {
		f := ruleField{key: textproto.CanonicalMIMEHeaderKey(key), value: names.compile(r.Headers[key])}
		if f.value.constant() {
			f.values = []string{r.Headers[key]}
		}
		rl.fields = append(rl.fields, f)
	}
	for i := range r.Transforms {
		t, err := compileTransform(&r.Transforms[i], names)
		if err != nil {
			return rl, fmt.Sprintf("transforms[%d]", i), err
		}
		rl.transforms = append(rl.transforms, t)
	}
	rl.methods, rl.important, rl.status, rl.check, rl.locale = r.Methods, r.Important, r.Status, r.Check, r.Locale
	if r.Mitigate != nil {
		rl.mitigate = r.Mitigate.Action
	}
	if r.MiddlewarePath != "" {
		rl.middleware = rooted(r.MiddlewarePath)
	}
	rl.ignoreOrigin = r.RespectOriginCacheControl != nil && !*r.RespectOriginCacheControl
	rl.continues = r.Continue || rl.onlyTransforms()
	rl.grouped, rl.refuses = rl.wantsGroups(), rl.isRefusal()
	return rl, "", nil
}

// checkRoute checks a route by the rules of the format, without compiling it.
func checkRoute(r *lateen.Route, at phase) (field string, err error) {
	switch {
	case r.Src == "":
		return "src", errors.New("missing")
	case len(r.Src) > maxPattern:
		return "src", fmt.Errorf("longer than %d bytes", maxPattern)
	case len(r.Dest) > maxPattern:
		return "dest", fmt.Errorf("longer than %d bytes", maxPattern)
	case len(r.Has) > maxConditions:
		return "has", fmt.Errorf("more than %d items", maxConditions)
	case len(r.Missing) > maxConditions:
		return "missing", fmt.Errorf("more than %d items", maxConditions)
	case r.Status != 0 && (r.Status < 100 || r.Status > 999):
		return "status", fmt.Errorf("%d is not in the range 100 to 999", r.Status)
	case r.Mitigate != nil && r.Mitigate.Action != "deny" && r.Mitigate.Action != "challenge":
		return "mitigate", fmt.Errorf("unknown action %q", r.Mitigate.Action)
	case at == hit && r.Dest != "":
		return "dest", errors.New("not allowed after handle: hit")
	case at == hit && r.Status != 0:
		return "status", errors.New("not allowed after handle: hit")
	case at == hit && !r.Continue:
		return "continue", errors.New("must be true after handle: hit")
	case at == miss && r.Dest != "" && !r.Check:
		return "check", errors.New("must be true with dest after handle: miss")
	case at == miss && r.Dest == "" && !r.Continue:
		return "continue", errors.New("must be true without dest after handle: miss")
	}
	return "", nil
}

// anchored returns src with the anchors of a route. A src that begins with a name,
// as in "api/(.*)", means the path with a leading slash.
func anchored(src string) string {
	src = strings.TrimPrefix(src, "^")
	if src != "" && (isAlnum(src[0]) || src[0] == '_') {
		src = "/" + src
	}
	if bare := strings.TrimSuffix(src, "$"); bare == src || (len(bare)-len(strings.TrimRight(bare, `\`)))%2 == 1 {
		src += "$"
	}
	return "^" + src
}

// rooted returns path with a leading slash.
func rooted(path string) string {
	if strings.HasPrefix(path, "/") {
		return path
	}
	return "/" + path
}

func compileConditions(list []lateen.HasField, names *scope) ([]condition, error) {
	conditions := make([]condition, len(list))
	for i := range list {
		var err error
		if conditions[i], err = compileCondition(&list[i], names); err != nil {
			return nil, fmt.Errorf("item %d: %w", i, err)
		}
	}
	return conditions, nil
}

func (rl *rule) setDest(dest string, names *scope) {
	if dest == "" {
		return
	}
	rl.dest, rl.rewrites = names.compile(dest), true
	switch first := rl.dest.parts[0]; first.kind {
	case plainText:
		_, rl.external = cutScheme(first.text)
	case envRef:
		rl.mayBeExternal = true
	case groupRef, captureRef, wildcardRef:
		// A client must not choose the host of an origin.
	}
}

// onlyTransforms reports whether a route has only transforms. Such a route does not
// end its phase, because it would hide every later route from the request.
func (rl *rule) onlyTransforms() bool {
	return len(rl.transforms) > 0 && !rl.rewrites && len(rl.fields) == 0 && rl.status == 0 &&
		rl.middleware == "" && rl.mitigate == "" && rl.locale == nil
}

// isRefusal reports whether rl may keep a request from an output: it runs a
// middleware, refuses, or redirects or leads to an error with a constant target.
// Outputs behind WSGI, ASGI and CGI see a path with its encoded slashes decoded, so
// such a route also applies to a path that it matches in that form.
func (rl *rule) isRefusal() bool {
	if rl.middleware != "" || rl.mitigate != "" {
		return true
	}
	leads := rl.rewrites
	for i := range rl.fields {
		if f := &rl.fields[i]; f.key == "Location" {
			if leads = true; f.values == nil {
				return false
			}
		}
	}
	return rl.status >= 300 && leads && rl.dest.constant()
}

// wantsGroups reports whether a template refers to a group of src, or the route
// matches of an output may contain it.
func (rl *rule) wantsGroups() bool {
	if rl.rewrites && (len(rl.src.names) > 1 || rl.dest.uses(groupRef)) {
		return true
	}
	for i := range rl.fields {
		if rl.fields[i].value.uses(groupRef) {
			return true
		}
	}
	for i := range rl.transforms {
		if rl.transforms[i].uses(groupRef) {
			return true
		}
	}
	return false
}
