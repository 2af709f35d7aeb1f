package route

import "strings"

// Queries stay in their original form and are never parsed into a map and rebuilt:
// "a" and "a=" are different, and order and encoding are the sender's.

// nextParam splits the first parameter off query. It skips empty ones; ok is false
// at the end.
func nextParam(query string) (param, rest string, ok bool) {
	for query != "" {
		param, query, _ = strings.Cut(query, "&")
		if param != "" {
			return param, query, true
		}
	}
	return "", "", false
}

// paramKey returns the decoded name of a parameter, paramValue its decoded value.
func paramKey(param string) string {
	key, _, _ := strings.Cut(param, "=")
	return decodeParam(key)
}

func paramValue(param string) string {
	_, value, _ := strings.Cut(param, "=")
	return decodeParam(value)
}

func decodeParam(text string) string {
	if strings.IndexByte(text, '+') >= 0 {
		text = strings.ReplaceAll(text, "+", " ")
	}
	return decode(text, "")
}

// hasParam reports whether query has a parameter called key.
func hasParam(query, key string) bool {
	for param, rest, ok := nextParam(query); ok; param, rest, ok = nextParam(rest) {
		if paramKey(param) == key {
			return true
		}
	}
	return false
}

// mergeQuery returns first with those parameters of second added whose name first
// does not have. A destination comes first: the route's value of a parameter holds,
// and the client cannot override it.
func mergeQuery(first, second string) string {
	if first == "" {
		return second
	}
	var b strings.Builder
	for param, rest, ok := nextParam(second); ok; param, rest, ok = nextParam(rest) {
		if hasParam(first, paramKey(param)) {
			continue
		}
		if b.Len() == 0 {
			b.Grow(len(first) + len(second) + 1)
			b.WriteString(first)
		}
		b.WriteByte('&')
		b.WriteString(param)
	}
	if b.Len() == 0 {
		return first
	}
	return b.String()
}

// mergeURL adds the parameters of query to those of url, before any fragment.
func mergeURL(url, query string) string {
	if query == "" {
		return url
	}
	url, fragment, hasFragment := strings.Cut(url, "#")
	base, own, _ := strings.Cut(url, "?")
	url = base + "?" + mergeQuery(own, query)
	if hasFragment {
		url += "#" + fragment
	}
	return url
}
