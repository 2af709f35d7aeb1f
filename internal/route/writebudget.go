package route

import "errors"

// maxWritten bounds the bytes that the templates and transforms of a table may write
// for one request, constants included. A request's header is 64 KiB at most; a dest
// such as "/$1$1$1$1$1$1$1$1" makes eight copies of its path, and fifty of them in a
// row exceed any memory.
const maxWritten = 1 << 20

var errTooLong = errors.New("the routes of this table write more than 1 MiB for this request")

// writeBudget is the number of bytes that may still be written.
type writeBudget int64

// take takes n bytes, or returns false if fewer are left.
func (r *writeBudget) take(n int64) bool {
	*r -= writeBudget(n)
	return *r >= 0
}

// writes is the approximate number of bytes that rl writes with these values, if
// each of its transforms applies to one key.
func (rl *rule) writes(v *values) int64 {
	n := rl.dest.writes(v)
	for i := range rl.fields {
		n += int64(len(rl.fields[i].key)) + rl.fields[i].value.writes(v)
	}
	for i := range rl.transforms {
		n += rl.transforms[i].key.writes(v)
		for j := range rl.transforms[i].args {
			n += rl.transforms[i].args[j].writes(v)
		}
	}
	return n
}

// writes is the length of t with the values of its parameters, before
// percent-encoding.
func (t *template) writes(v *values) (n int64) {
	for i := range t.parts {
		switch p := &t.parts[i]; p.kind {
		case groupRef:
			if p.index < len(v.groups) {
				n += int64(len(v.groups[p.index]))
			}
		case captureRef:
			n += int64(len(v.captures[p.index]))
		case envRef:
			n += int64(len(v.env[p.text]))
		case wildcardRef:
			n += int64(len(v.wildcard))
		case plainText:
			n += int64(len(p.text))
		}
	}
	return n
}

// argBytes is the number of bytes that the change writes for one key.
func (c *change) argBytes() (n int64) {
	for _, arg := range c.args {
		n += int64(len(arg)) + 1
	}
	return n
}

// queryWrites is the maximum number of bytes that a change of query writes: its
// arguments for each parameter to which it applies.
func (c *change) queryWrites(query string) (n int64) {
	if c.op == "delete" {
		return 0
	}
	each := c.argBytes()
	for param, rest, ok := nextParam(query); ok; param, rest, ok = nextParam(rest) {
		if key := paramKey(param); c.picks(key) {
			n += each + int64(len(key)*len(c.args))
		}
	}
	return n
}

// size is the length of the captures in m, written once for the number and once for
// the name of each group.
func (m matches) size() (n int64) {
	for _, group := range m.groups {
		n += 2 * int64(len(group))
	}
	return n
}
