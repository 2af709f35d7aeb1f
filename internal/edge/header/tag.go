package header

import (
	"strings"

	"github.com/lateen-dev/lateen"
)

// Tag returns the strong entity tag of content: 128 bits of its digest, which
// differ between any two forms of any two files.
func Tag(d lateen.Digest) string { return `"` + string(d[:min(32, len(d))]) + `"` }

// WeakMatch reports whether an If-None-Match names etag (RFC 9110 §13.1.2).
func WeakMatch(values []string, etag string) bool { return matchTag(values, etag, true) }

// StrongMatch reports whether an If-Match or If-Range names etag (RFC 9110 §13.1.1).
func StrongMatch(values []string, etag string) bool { return matchTag(values, etag, false) }

func matchTag(values []string, etag string, weak bool) bool {
	if weak {
		etag = strings.TrimPrefix(etag, "W/")
	}
	for _, list := range values {
		for tag := range strings.SplitSeq(list, ",") {
			tag = strings.TrimSpace(tag)
			if weak {
				tag = strings.TrimPrefix(tag, "W/")
			}
			if tag == etag || tag == "*" {
				return true
			}
		}
	}
	return false
}
