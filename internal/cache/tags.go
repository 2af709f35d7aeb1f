package cache

import (
	"net/http"
	"slices"
	"strings"
)

// tagHeaders are the fields in which functions name the cache tags of a response.
var tagHeaders = []string{"X-Next-Cache-Tags", "Vercel-Cache-Tag"} //nolint:gochecknoglobals // a constant in all but name

// maxTags bounds the cache tags of a response; further tags are ignored.
const maxTags = 128

// TakeTags removes the cache tags from the header of a response and returns them.
func TakeTags(h http.Header) []string {
	var tags []string
	for _, name := range tagHeaders {
		tags = append(tags, SplitTags(h[name])...)
		delete(h, name)
	}
	slices.Sort(tags)
	tags = slices.Compact(tags)
	return slices.Clip(tags[:min(len(tags), maxTags)])
}

// SplitTags returns the elements of the values of a list field.
func SplitTags(values []string) []string {
	var tags []string
	for _, value := range values {
		for tag := range strings.SplitSeq(value, ",") {
			if tag = strings.TrimSpace(tag); tag != "" {
				tags = append(tags, strings.ToValidUTF8(tag, "\uFFFD"))
			}
		}
	}
	return tags
}
