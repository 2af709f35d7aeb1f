package route

import (
	"slices"
	"strings"
)

// AddVary returns the values of a Vary field with the names in more added, each name
// once, in any case (RFC 9110 §12.5.5). It does not modify its arguments.
func AddVary(values []string, more ...string) []string {
	for _, list := range more {
		var missing []string
		for name := range strings.SplitSeq(list, ",") {
			if name = strings.TrimSpace(name); name != "" && !varies(values, name) {
				missing = append(missing, name)
			}
		}
		if len(missing) > 0 {
			values = append(slices.Clip(values), strings.Join(missing, ", "))
		}
	}
	return values
}

// varies reports whether the values of a Vary field cover name.
func varies(values []string, name string) bool {
	for _, list := range values {
		for v := range strings.SplitSeq(list, ",") {
			if v = strings.TrimSpace(v); v == "*" || strings.EqualFold(v, name) {
				return true
			}
		}
	}
	return false
}
