package lateen

import (
	"time"
	"unicode/utf8"
)

// Invalidation selects cached content of all deployments of a project: pages, and
// values of the data cache.
type Invalidation struct {
	// Pages and Data select all of that content.
	Pages bool `json:"pages,omitempty"`
	Data  bool `json:"data,omitempty"`
	// Tags select the pages and values with one of these tags.
	Tags []string `json:"tags,omitempty"`
	// Grace is the time in seconds for which content with one of the tags may be served
	// stale; 0 is none, negative is unlimited. All pages, and all data, have none.
	Grace int64 `json:"grace,omitempty"`
}

// Bounds of an [Invalidation].
const (
	MaxTags  = 128
	MaxTag   = 256                     // characters of a tag
	maxGrace = 10 * 365 * 24 * 60 * 60 // seconds
)

// GraceTime is Grace as a duration.
func (i *Invalidation) GraceTime() time.Duration { return time.Duration(i.Grace) * time.Second }

// Validate returns an error of the code [Invalid] for an invalidation that selects
// nothing, or exceeds a bound.
func (i *Invalidation) Validate() error {
	switch {
	case !i.Pages && !i.Data && len(i.Tags) == 0:
		return ErrInvalid.With("the invalidation has no tags")
	case len(i.Tags) > MaxTags:
		return ErrInvalid.With("the invalidation has %d tags; the maximum is %d", len(i.Tags), MaxTags)
	case i.Grace > maxGrace || i.Grace < -1:
		return ErrInvalid.With("the deadline of %d seconds is out of range", i.Grace)
	}
	for _, tag := range i.Tags {
		if n := utf8.RuneCountInString(tag); n == 0 || n > MaxTag || !utf8.ValidString(tag) {
			return ErrInvalid.With("a tag has %d characters; it must have 1 to %d", n, MaxTag)
		}
	}
	return nil
}
