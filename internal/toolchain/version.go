package toolchain

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/lateen-dev/lateen"
)

// version is a released version, without a pre-release tag.
type version [3]int // major, minor, patch

// parseVersion parses exactly major.minor.patch.
func parseVersion(s string) (version, bool) {
	var v version
	parts, ok := parseNumbers(s)
	if !ok || len(parts) != len(v) {
		return v, false
	}
	copy(v[:], parts)
	return v, true
}

func parseNumbers(s string) ([]int, bool) {
	var numbers []int
	for part := range strings.SplitSeq(s, ".") {
		n, err := strconv.Atoi(part)
		if err != nil || n < 0 || strconv.Itoa(n) != part {
			return nil, false
		}
		numbers = append(numbers, n)
	}
	return numbers, true
}

func (v version) String() string { return fmt.Sprintf("%d.%d.%d", v[0], v[1], v[2]) }

func (v version) less(w version) bool {
	for i := range v {
		if v[i] != w[i] {
			return v[i] < w[i]
		}
	}
	return false
}

// versionRange is the versions with a prefix that are not older than least.
type versionRange struct {
	prefix []int
	least  version
}

// parseRange parses a version, a prefix of one, a caret range or "".
func parseRange(s string) (versionRange, error) {
	if s == "" {
		return versionRange{}, nil
	}
	text, caret := strings.CutPrefix(s, "^")
	numbers, ok := parseNumbers(text)
	if !ok || len(numbers) > 3 || caret && len(numbers) != 3 {
		return versionRange{}, lateen.ErrInvalid.With("%q is not a range of versions", s)
	}
	if !caret {
		return versionRange{prefix: numbers}, nil
	}
	fixed := 1 // a caret fixes all numbers up to the first that is not 0
	for fixed < 3 && numbers[fixed-1] == 0 {
		fixed++
	}
	return versionRange{prefix: numbers[:fixed], least: version(numbers)}, nil
}

func (r versionRange) admits(v version) bool {
	for i, n := range r.prefix {
		if v[i] != n {
			return false
		}
	}
	return !v.less(r.least)
}

// validName reports whether name has the form of a package's name, with or without a
// scope; only such a name may be part of a path or a URL.
func validName(name string) bool {
	scope, rest, scoped := strings.Cut(name, "/")
	if !scoped {
		return validPart(name)
	}
	scope, at := strings.CutPrefix(scope, "@")
	return at && validPart(scope) && validPart(rest)
}

func validPart(s string) bool {
	if s == "" || len(s) > 200 || strings.HasPrefix(s, ".") {
		return false
	}
	return strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-._") == ""
}
