package buildoutput

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/lateen-dev/lateen"
)

// Limits of the structure of a document, so that a small file can't use much memory.
const (
	maxDepth  = 64
	maxValues = 2_000_000
)

// document is a JSON file being read. After an error, reading continues; the first
// error is returned.
type document struct {
	name string
	root any
	err  *lateen.Error
}

// parse decodes the JSON file called name.
func parse(name string, b []byte) (*document, error) {
	depth, values := measure(b)
	switch {
	case depth > maxDepth:
		return nil, lateen.ErrBuildOutput.With("%s is nested more than %d deep", name, maxDepth)
	case values > maxValues:
		return nil, lateen.ErrBuildOutput.With("%s has more than %d values", name, maxValues)
	}
	d := &document{name: name}
	if err := json.Unmarshal(bytes.TrimPrefix(b, []byte("\xef\xbb\xbf")), &d.root); err != nil {
		return nil, lateen.ErrBuildOutput.With("%s is not JSON: %v", name, err)
	}
	if _, ok := d.root.(map[string]any); !ok {
		return nil, lateen.ErrBuildOutput.With("%s: must be an object, not %s", name, kindOf(d.root))
	}
	return d, nil
}

// measure returns the nesting depth of b and an upper bound of its number of values.
func measure(b []byte) (depth, values int) {
	level, quoted := 0, false
	for i := 0; i < len(b); i++ {
		switch c := b[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			level++
			values++
			depth = max(depth, level)
		case c == '}' || c == ']':
			level--
		case c == ',' || c == ':':
			values++
		}
	}
	return depth, values
}

// value returns the root of the document; its errors are of kind ErrBuildOutput.
func (d *document) value() value {
	return value{doc: d, kind: lateen.ErrBuildOutput, v: d.root}
}

// failure returns the first error, or nil.
func (d *document) failure() error {
	if d.err == nil {
		return nil
	}
	return d.err
}

// value is a value in a document. An absent value and null read as zero; a value of
// an unexpected type is an error of the document and reads as zero too.
type value struct {
	doc  *document
	kind *lateen.Error // kind of the errors of this value and its parts
	path string        // routes[3].src
	v    any
}

// fail records an error of this value, such as "config.json: routes[3].src: …".
func (v value) fail(format string, args ...any) {
	if v.doc.err != nil {
		return
	}
	where := v.doc.name + ": "
	if v.path != "" {
		where += v.path + ": "
	}
	v.doc.err = v.kind.With("%s", where+fmt.Sprintf(format, args...))
}

func (v value) present() bool { return v.v != nil }

// empty reports whether the value is absent, or an empty list or object.
func (v value) empty() bool {
	switch x := v.v.(type) {
	case nil:
		return true
	case []any:
		return len(x) == 0
	case map[string]any:
		return len(x) == 0
	}
	return false
}

// must records an error if the value is absent.
func (v value) must() value {
	if !v.present() {
		v.fail("is missing")
	}
	return v
}

// field returns the member called name of an object.
func (v value) field(name string) value {
	members, _ := as[map[string]any](v, "an object")
	sub := v
	sub.v = members[name]
	if sub.path != "" {
		sub.path += "."
	}
	sub.path += name
	return sub
}

// first returns the first present field of a name and its aliases.
func (v value) first(names ...string) value {
	for _, name := range names {
		if f := v.field(name); f.present() {
			return f
		}
	}
	return v.field(names[0])
}

// names returns the members of an object, sorted, at most most of them.
func (v value) names(most int) []string {
	members, _ := as[map[string]any](v, "an object")
	if len(members) > most {
		v.fail("has %d members; at most %d are allowed", len(members), most)
		return nil
	}
	names := make([]string, 0, len(members))
	for name := range members {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// list returns the items of a list, at most most of them.
func (v value) list(most int) []value {
	items, _ := as[[]any](v, "a list")
	if len(items) > most {
		v.fail("has %d items; at most %d are allowed", len(items), most)
		return nil
	}
	values := make([]value, len(items))
	for i, item := range items {
		values[i] = v
		values[i].v = item
		values[i].path += "[" + strconv.Itoa(i) + "]"
	}
	return values
}

// text returns a string of at most most bytes.
func (v value) text(most int) string {
	s, _ := as[string](v, "a string")
	if len(s) > most {
		v.fail("is %d characters long; at most %d are allowed", len(s), most)
		return ""
	}
	return s
}

// oneOf returns a string that is one of options.
func (v value) oneOf(options ...string) string {
	s := v.text(maxText)
	if v.present() && !slices.Contains(options, s) {
		v.fail("%q is none of %s", s, strings.Join(options, ", "))
	}
	return s
}

// texts returns a list of strings; nil only if absent.
func (v value) texts(most, length int) []string {
	if !v.present() {
		return nil
	}
	items := v.list(most)
	texts := make([]string, len(items))
	for i, item := range items {
		texts[i] = item.must().text(length)
	}
	return texts
}

// textMap returns an object of strings; nil if absent or empty.
func (v value) textMap(most, length int) map[string]string {
	names := v.names(most)
	if len(names) == 0 {
		return nil
	}
	m := make(map[string]string, len(names))
	for _, name := range names {
		m[name] = v.field(name).must().text(length)
	}
	return m
}

func (v value) flag() bool {
	b, _ := as[bool](v, "true or false")
	return b
}

// integer returns a whole number from least to most; 0 if absent.
func (v value) integer(least, most int) int {
	f, ok := as[float64](v, "a number")
	if !ok {
		return 0
	}
	if f != math.Trunc(f) || f < float64(least) || f > float64(most) {
		v.fail("%v is not a whole number from %d to %d", f, least, most)
		return 0
	}
	return int(f)
}

// number returns any number, or nil if absent.
func (v value) number() *float64 {
	f, ok := as[float64](v, "a number")
	if !ok {
		return nil
	}
	return &f
}

// scalar returns the text of a string, number or boolean, or nil if absent.
func (v value) scalar() *string {
	var s string
	switch x := v.v.(type) {
	case nil:
		return nil
	case string:
		s = v.text(maxText)
	case float64:
		s = strconv.FormatFloat(x, 'f', -1, 64)
	case bool:
		s = strconv.FormatBool(x)
	default:
		v.fail("must be a string, not %s", kindOf(v.v))
	}
	return &s
}

// as returns the value as a T; false if it is absent or of another type, which is an
// error.
func as[T any](v value, want string) (T, bool) {
	t, ok := v.v.(T)
	if !ok && v.present() {
		v.fail("must be %s, not %s", want, kindOf(v.v))
	}
	return t, ok
}

func kindOf(v any) string {
	switch v.(type) {
	case nil:
		return "null"
	case string:
		return "a string"
	case float64:
		return "a number"
	case bool:
		return "true or false"
	case []any:
		return "a list"
	default:
		return "an object"
	}
}
