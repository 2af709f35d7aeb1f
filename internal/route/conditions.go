package route

import (
	"github.com/lateen-dev/lateen"
)

// Conditions is a compiled list of conditions on a request. It is immutable and safe
// for concurrent use; nil holds for no request.
type Conditions struct {
	list     []condition
	captures int
}

// CompileConditions compiles fields. The error for a malformed one is
// [lateen.ErrInvalidRoute].
func CompileConditions(fields []lateen.HasField) (*Conditions, error) {
	return patterns{}.conditions(fields)
}

// conditions is [CompileConditions] with the patterns of a table.
func (p patterns) conditions(fields []lateen.HasField) (*Conditions, error) {
	c, s := &Conditions{}, &scope{patterns: p}
	for i := range fields {
		one, err := compileCondition(&fields[i], s)
		if err != nil {
			return nil, lateen.ErrInvalidRoute.With("condition %d: %s", i, err.Error())
		}
		c.list = append(c.list, one)
	}
	c.captures = len(s.captures)
	return c, nil
}

// Any reports whether one of the conditions holds for req. If one takes too long, it
// and the later ones do not hold.
func (c *Conditions) Any(req *Request) bool {
	if c == nil || len(c.list) == 0 {
		return false
	}
	w := newWalk(&Router{}, req, nil)
	w.values.captures = make([]string, c.captures)
	for i := range c.list {
		if ok, err := c.list[i].holds(w); ok || err != nil {
			return ok && err == nil
		}
	}
	return false
}
