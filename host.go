package lateen

import (
	"regexp"
	"slices"
	"strings"
)

var labelPattern = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)

// IsHost reports whether text is a DNS host name (RFC 1123, section 2.1) in lower
// case, without a trailing dot.
func IsHost(text string) bool {
	return len(text) <= 253 && !slices.ContainsFunc(strings.Split(text, "."), func(label string) bool {
		return !labelPattern.MatchString(label)
	})
}
