package jsregexp

import (
	"maps"
	"slices"
	"sync"
	"unicode"
)

// Set is a set of characters: sorted ranges that do not touch, as pairs of the first
// and the last character.
type Set []rune

//nolint:gochecknoglobals // constants in all but name
var (
	digits    = Set{'0', '9'}
	wordChars = Set{'0', '9', 'A', 'Z', '_', '_', 'a', 'z'}
	lineEnds  = Set{'\n', '\n', '\r', '\r', 0x2028, 0x2029}
	// spaces are WhiteSpace and LineTerminator of ECMA-262, 12.2 and 12.3.
	spaces      = Set{'\t', '\r', ' ', ' ', 0xa0, 0xa0, 0x1680, 0x1680, 0x2000, 0x200a, 0x2028, 0x2029, 0x202f, 0x202f, 0x205f, 0x205f, 0x3000, 0x3000, 0xfeff, 0xfeff}
	notLineEnds = lineEnds.complement()
)

// newSet returns the set of ranges, pairs in any order that may overlap.
func newSet(ranges []rune) Set {
	type pair struct{ lo, hi rune }
	pairs := make([]pair, 0, len(ranges)/2)
	for i := 0; i < len(ranges); i += 2 {
		pairs = append(pairs, pair{ranges[i], ranges[i+1]})
	}
	slices.SortFunc(pairs, func(a, b pair) int { return int(a.lo) - int(b.lo) })
	s := Set{}
	for _, p := range pairs {
		if n := len(s); n > 0 && p.lo <= s[n-1]+1 {
			s[n-1] = max(s[n-1], p.hi)
			continue
		}
		s = append(s, p.lo, p.hi)
	}
	return s
}

func (s Set) complement() Set {
	c := Set{}
	next := rune(0)
	for i := 0; i < len(s); i += 2 {
		if s[i] > next {
			c = append(c, next, s[i]-1)
		}
		next = s[i+1] + 1
	}
	if next <= unicode.MaxRune {
		c = append(c, next, unicode.MaxRune)
	}
	return c
}

// has reports whether r is in s.
func (s Set) has(r rune) bool {
	lo, hi := 0, len(s)/2
	for lo < hi {
		if mid := (lo + hi) / 2; s[2*mid+1] < r {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return 2*lo < len(s) && s[2*lo] <= r
}

// folded returns s with every character that equals one of s if case is ignored. An
// ASCII character equals only ASCII characters.
func (s Set) folded() Set {
	more := slices.Clone(s)
	for i := 0; i < len(s) && s[i] <= 'z'; i += 2 {
		for _, letters := range [][2]rune{{'A', 'Z'}, {'a', 'z'}} {
			if lo, hi := max(s[i], letters[0]), min(s[i+1], letters[1]); lo <= hi {
				more = append(more, lo^0x20, hi^0x20)
			}
		}
	}
	if len(s) > 0 && s[len(s)-1] >= 0x80 {
		for up, class := range cases() {
			if up >= 0x80 && slices.ContainsFunc(class, s.has) {
				for _, r := range class {
					more = append(more, r, r)
				}
			}
		}
	}
	return newSet(more)
}

// foldedRune is [Set.folded] of one character.
func foldedRune(r rune) Set {
	if r < 0x80 {
		if up := canonical(r); 'A' <= up && up <= 'Z' {
			return letters[up-'A'][:]
		}
		return single(r)
	}
	ranges := []rune{r, r}
	for _, other := range cases()[canonical(r)] {
		ranges = append(ranges, other, other)
	}
	return newSet(ranges)
}

// single returns the set of r alone.
func single(r rune) Set {
	if 0 <= r && r < 0x80 {
		return ascii[r][:]
	}
	return Set{r, r}
}

// The sets of each ASCII character, and of each letter in both cases, for all patterns:
// most characters of a route are among them, and sets are immutable.
//
//nolint:gochecknoglobals // constants in all but name
var (
	ascii = func() (all [0x80][2]rune) {
		for r := range all {
			all[r] = [2]rune{rune(r), rune(r)}
		}
		return all
	}()
	letters = func() (all [26][4]rune) {
		for n := range all {
			up := 'A' + rune(n)
			all[n] = [4]rune{up, up, up | 0x20, up | 0x20}
		}
		return all
	}()
)

// canonical is Canonicalize of ECMA-262, 22.2.2.7.3, without the flag u: the upper
// case of a code unit, if it is a single unit and does not turn non-ASCII into
// ASCII.
func canonical(r rune) rune {
	if r < 0x80 {
		if 'a' <= r && r <= 'z' {
			r -= 'a' - 'A'
		}
		return r
	}
	// These characters have an upper case of several letters (SpecialCasing.txt),
	// besides the single one that Go has.
	if r > 0xffff || 0x1f80 <= r && r <= 0x1faf || r == 0x1fb3 || r == 0x1fc3 || r == 0x1ff3 {
		return r
	}
	if up := unicode.ToUpper(r); up >= 0x80 && up <= 0xffff {
		return up
	}
	return r
}

// cases are the classes of two or more characters that are equal if case is ignored,
// by their canonical form.
//
//nolint:gochecknoglobals // a constant in all but name
var cases = sync.OnceValue(func() map[rune][]rune {
	classes := map[rune][]rune{}
	for r := rune(0); r <= 0xffff; r++ {
		up := canonical(r)
		classes[up] = append(classes[up], r)
	}
	maps.DeleteFunc(classes, func(_ rune, class []rune) bool { return len(class) < 2 })
	return classes
})
