package route

import (
	"fmt"
	"iter"
	"net/textproto"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/lateen-dev/lateen"
)

// condition is one item of has or missing. A regular expression must match the whole
// value, case-sensitively; all operators of a value must hold. If a request has
// several values for an item, one that holds is enough; if it has none, the item
// does not hold, with any operators.
type condition struct {
	kind string // host, header, cookie, query
	key  string
	want *lateen.Condition // nil: any value
	re   *pattern          // want.Re

	// capture is the index of the captured value, or -1; captures has the index for
	// each group of re.
	capture  int
	captures []int
}

// compileCondition compiles an item and adds the names that it captures to s.
func compileCondition(h *lateen.HasField, s *scope) (condition, error) {
	c := condition{kind: h.Type, key: h.Key, want: h.Value, capture: -1}
	switch h.Type {
	case "host":
		if h.Value == nil {
			return c, fmt.Errorf("type host requires a value")
		}
	case "header":
		c.key = textproto.CanonicalMIMEHeaderKey(h.Key)
	case "cookie", "query":
	default:
		return c, fmt.Errorf("unknown type %q", h.Type)
	}
	if c.kind != "host" && c.key == "" {
		return c, fmt.Errorf("type %s requires a key", c.kind)
	}
	if h.Value == nil {
		c.capture = s.define(captureName(h.Key))
		return c, nil
	}
	if h.Value.Re == "" {
		return c, nil
	}
	var err error
	if c.re, err = s.patterns.compile("^(?:"+h.Value.Re+")$", h.Type == "host"); err != nil {
		return c, fmt.Errorf("value: %w", err)
	}
	if h.Type == "host" {
		c.capture = s.define("host")
	}
	c.captures = make([]int, len(c.re.names))
	for i, name := range c.re.names {
		c.captures[i] = s.define(name)
	}
	return c, nil
}

// define returns the index of the capture called name, -1 for "".
func (s *scope) define(name string) int {
	if name == "" {
		return -1
	}
	if i := slices.Index(s.captures, name); i >= 0 {
		return i
	}
	s.captures = append(s.captures, name)
	return len(s.captures) - 1
}

// captureName is the name of the parameter that a key without a value defines: the
// key without the characters that a name must not have.
func captureName(key string) string {
	return strings.Map(func(r rune) rune {
		if r < 0x80 && (isAlnum(byte(r)) || r == '_') {
			return r
		}
		return -1
	}, key)
}

// holds reports whether c holds for the request at this point of w, before
// transforms, and stores its captures in w.
func (c *condition) holds(w *walk) (bool, error) {
	if err := w.checkTextBound(); err != nil {
		return false, err
	}
	switch c.kind {
	case "host":
		return c.accepts(w, w.hostname())
	case "header":
		if c.key == "Host" {
			return c.accepts(w, w.req.Host)
		}
		values := w.sent.header[c.key]
		if values == nil && w.req.Platform != nil {
			if value := w.req.Platform(c.key); value != "" {
				return c.accepts(w, value)
			}
		}
		for _, value := range values {
			if ok, err := c.accepts(w, value); ok || err != nil {
				return ok, err
			}
		}
	case "cookie":
		lines := w.sent.header["Cookie"]
		for _, line := range lines {
			w.text -= len(line)
		}
		for value := range cookies(lines, c.key) {
			if ok, err := c.accepts(w, value); ok || err != nil {
				return ok, err
			}
		}
	case "query":
		w.text -= len(w.sent.query)
		for param, rest, ok := nextParam(w.sent.query); ok; param, rest, ok = nextParam(rest) {
			if paramKey(param) != c.key {
				continue
			}
			if ok, err := c.accepts(w, paramValue(param)); ok || err != nil {
				return ok, err
			}
		}
	}
	return false, nil
}

func (c *condition) accepts(w *walk, value string) (bool, error) {
	if w.text--; c.want != nil {
		w.text -= len(c.want.Inc) + len(c.want.Ninc)
	}
	if c.want != nil && !meets(value, c.want) {
		return false, nil
	}
	if c.re != nil {
		ok, err := w.match(c.re, value, &w.scratch)
		if !ok || err != nil {
			return false, err
		}
		for i, at := range c.captures {
			if at >= 0 && i < len(w.scratch) {
				w.values.captures[at] = w.scratch[i]
			}
		}
	}
	if c.capture >= 0 {
		w.values.captures[c.capture] = value
	}
	return true, nil
}

// meets reports whether value satisfies every operator of c except re.
func meets(value string, c *lateen.Condition) bool {
	return (c.Eq == nil || value == *c.Eq) &&
		(c.Neq == nil || value != *c.Neq) &&
		(c.Inc == nil || slices.Contains(c.Inc, value)) &&
		!slices.Contains(c.Ninc, value) &&
		strings.HasPrefix(value, c.Pre) &&
		strings.HasSuffix(value, c.Suf) &&
		meetsBounds(value, c)
}

func meetsBounds(value string, c *lateen.Condition) bool {
	if c.Gt == nil && c.Gte == nil && c.Lt == nil && c.Lte == nil {
		return true
	}
	n, err := strconv.ParseFloat(value, 64)
	return err == nil &&
		(c.Gt == nil || n > *c.Gt) &&
		(c.Gte == nil || n >= *c.Gte) &&
		(c.Lt == nil || n < *c.Lt) &&
		(c.Lte == nil || n <= *c.Lte)
}

// cookies yields the values of the cookies called name.
func cookies(lines []string, name string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, line := range lines {
			for line != "" {
				var pair string
				pair, line, _ = strings.Cut(line, ";")
				key, value, _ := strings.Cut(strings.TrimSpace(pair), "=")
				if key == name && !yield(cookieValue(value)) {
					return
				}
			}
		}
	}
}

// cookieValue is the value of a cookie without quotes, percent-decoded like in the
// cookie libraries of the frameworks. An invalid encoding stays as it is.
func cookieValue(value string) string {
	value = strings.Trim(value, `"`)
	if strings.IndexByte(value, '%') < 0 {
		return value
	}
	if plain, err := url.PathUnescape(value); err == nil && utf8.ValidString(plain) {
		return plain
	}
	return value
}

// hostOnly returns a host in lower case without its port.
func hostOnly(host string) string {
	if i := strings.LastIndexByte(host, ':'); i > strings.LastIndexByte(host, ']') {
		host = host[:i]
	}
	return strings.ToLower(host)
}
