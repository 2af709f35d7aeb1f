package route

import (
	"fmt"
	"net/http"
	"net/textproto"
	"slices"
	"strings"

	"github.com/lateen-dev/lateen"
)

// transform is a compiled change of the request that an output receives, or of its
// response.
//
// A key that is a string selects the key of that name, in any case; an object of
// operators selects every key, in lower case, that satisfies it. set replaces the
// values of each key, or adds a key that is a string; append adds values; delete
// removes the keys, or with args only the values equal to one of them. set and
// append have no effect if a header name or value has unusual characters, or if a
// path is invalid.
type transform struct {
	what string // request.headers, request.query, request.path, response.headers
	op   string // set, append, delete
	key  template
	pick *lateen.Condition // nil: key is a name
	args []template
}

// change is a transform with the values of its parameters.
type change struct {
	*transform

	key  string
	args []string
}

// maxTransformPath bounds the path of a request.path transform, in bytes.
const maxTransformPath = 2048

func compileTransform(t *lateen.Transform, s *scope) (transform, error) {
	s = &scope{groups: s.groups, captures: s.captures, env: t.Env}
	c := transform{what: t.Type, op: t.Op, key: s.compile(t.Target.Key.Name), pick: t.Target.Key.Match}
	switch args := t.Args.(type) {
	case nil:
	case string:
		c.args = []template{s.compile(args)}
	case []string:
		for _, arg := range args {
			c.args = append(c.args, s.compile(arg))
		}
	case []any:
		for _, arg := range args {
			text, ok := arg.(string)
			if !ok {
				return c, fmt.Errorf("args: %v is not a string", arg)
			}
			c.args = append(c.args, s.compile(text))
		}
	default:
		return c, fmt.Errorf("args: %v is neither a string nor a list of strings", args)
	}
	switch {
	case t.Type == "request.path":
		if t.Op != "set" || len(c.args) != 1 {
			return c, fmt.Errorf("request.path requires op set with one path in args")
		}
	case t.Type != "request.headers" && t.Type != "request.query" && t.Type != "response.headers":
		return c, fmt.Errorf("unknown type %q", t.Type)
	case t.Op != "set" && t.Op != "append" && t.Op != "delete":
		return c, fmt.Errorf("unknown op %q", t.Op)
	case t.Target.Key.Name == "" && t.Target.Key.Match == nil:
		return c, fmt.Errorf("target.key is missing")
	}
	return c, nil
}

// fill returns t with the values of its parameters.
func (t *transform) fill(v *values) change {
	how := forField
	switch t.what {
	case "request.query":
		how = forText
	case "request.path":
		how = forURL
	}
	c := change{transform: t, key: t.key.expand(v, how)}
	for i := range t.args {
		if t.what == "request.path" && !t.args[i].confined(v) {
			c.args = append(c.args, "") // an invalid path
			continue
		}
		c.args = append(c.args, t.args[i].expand(v, how))
	}
	return c
}

// uses reports whether a template of t has a part of the given kind.
func (t *transform) uses(kind partKind) bool {
	return t.key.uses(kind) || slices.ContainsFunc(t.args, func(arg template) bool { return arg.uses(kind) })
}

// picks reports whether the change applies to key.
func (c *change) picks(key string) bool {
	if c.pick == nil {
		return strings.EqualFold(key, c.key)
	}
	return meets(strings.ToLower(key), c.pick)
}

// header applies the change to h. It returns false if that exceeds the bytes left; h
// then has a part of the change.
func (c *change) header(h http.Header, left *writeBudget) bool {
	adds := c.op != "delete"
	if adds && (len(c.args) == 0 || slices.ContainsFunc(c.args, unusualField)) {
		return true
	}
	found := false
	for key := range h {
		if !c.picks(key) {
			continue
		}
		if adds && found && !left.take(c.argBytes()) { // the route has already taken the bytes for the first one
			return false
		}
		found = true
		switch {
		case c.op == "set":
			h[key] = c.args
		case c.op == "append":
			h[key] = append(slices.Clip(h[key]), c.args...)
		case len(c.args) == 0:
			delete(h, key)
		default:
			c.deleteValues(h, key)
		}
	}
	if adds && !found && c.pick == nil && plainName(c.key) {
		h[textproto.CanonicalMIMEHeaderKey(c.key)] = c.args
	}
	return true
}

// deleteValues drops the values equal to one of args from the lists in h[key].
func (c *change) deleteValues(h http.Header, key string) {
	equal := func(value string) bool {
		return slices.ContainsFunc(c.args, func(arg string) bool { return strings.EqualFold(arg, value) })
	}
	var kept []string
	for _, line := range h[key] {
		values := []string{line}
		if key != "Set-Cookie" {
			values = strings.Split(line, ",")
		}
		for i := range values {
			values[i] = strings.TrimSpace(values[i])
		}
		if values = slices.DeleteFunc(values, equal); len(values) > 0 {
			kept = append(kept, strings.Join(values, ", "))
		}
	}
	if len(kept) == 0 {
		delete(h, key)
		return
	}
	h[key] = kept
}

// query applies the change to a query and returns the new one.
func (c *change) query(query string) string {
	var params, picked []string // picked are the keys to which the change applies
	seen := map[string]bool{}   // the keys in picked
	for param, rest, ok := nextParam(query); ok; param, rest, ok = nextParam(rest) {
		key := paramKey(param)
		if !c.picks(key) {
			params = append(params, param)
			continue
		}
		first := !seen[key]
		if first {
			picked, seen[key] = append(picked, key), true
		}
		switch {
		case c.op == "append":
			params = append(params, param)
		case c.op == "set" && first:
			params = c.appendParams(params, key)
		case c.op == "delete" && len(c.args) > 0 && !slices.Contains(c.args, paramValue(param)):
			params = append(params, param)
		}
	}
	if c.op != "delete" && len(picked) == 0 && c.pick == nil {
		params = c.appendParams(params, c.key)
	}
	if c.op == "append" {
		for _, key := range picked {
			params = c.appendParams(params, key)
		}
	}
	return strings.Join(params, "&")
}

func (c *change) appendParams(params []string, key string) []string {
	for _, arg := range c.args {
		params = append(params, encodeComponent(key)+"="+encodeComponent(arg))
	}
	return params
}

// path returns the path that the change sets; false if it is invalid.
func (c *change) path() (string, bool) {
	p := c.args[0]
	if p == "" || len(p) > maxTransformPath || p[0] != '/' || strings.HasPrefix(p, "//") {
		return "", false
	}
	for i := range len(p) {
		if p[i] <= ' ' || p[i] == 0x7f || p[i] == '?' || p[i] == '#' {
			return "", false
		}
	}
	return p, true
}

// plainName reports whether name has only letters, digits, '-' and '_'.
func plainName(name string) bool {
	for i := range len(name) {
		if !isAlnum(name[i]) && name[i] != '-' && name[i] != '_' {
			return false
		}
	}
	return name != ""
}

// unusualField reports whether value is empty or not printable ASCII.
func unusualField(value string) bool {
	for i := range len(value) {
		if value[i] < ' ' || value[i] > '~' {
			return true
		}
	}
	return value == ""
}
