package route

import "errors"

// maxWritten bounds what the templates and transforms of a table may write for
// one request, in bytes, constants included. A request's header is 64 KiB at
// most; a dest such as "/$1$1$1$1$1$1$1$1" makes eight paths of one, and fifty
// of them in a row make more than any memory holds.
const maxWritten = 1 << 20

var errTooLong = errors.New("the routes of this table make more than 1 MiB of this request")

// room is how many bytes may still be written.
type room int64

// take takes n, or tells that there is less.
func (r *room) take(n int64) bool {
	*r -= room(n)
	return *r >= 0
}

// writes is about how many bytes rl writes with these values, where each of its
// transforms is for one key.
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

// writes is the length of t with its parameters filled in, before they are
// percent-encoded.
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

// argBytes is what the change writes for one key.
func (c *change) argBytes() (n int64) {
	for _, arg := range c.args {
		n += int64(len(arg)) + 1
	}
	return n
}

// queryWrites is at most how many bytes a change of query writes: its arguments
// for each parameter that it is for.
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

// size is the length of what m captured, written once for its number and once
// for its name.
func (m matches) size() (n int64) {
	for _, group := range m.groups {
		n += 2 * int64(len(group))
	}
	return n
}
