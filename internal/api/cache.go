package api

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strings"

	"github.com/lateen-dev/lateen"
)

// tagList is a list of tags: an array of strings, or one string with commas.
type tagList []string

// UnmarshalJSON implements [json.Unmarshaler].
func (t *tagList) UnmarshalJSON(b []byte) error {
	if !bytes.HasPrefix(b, []byte{'"'}) {
		return json.Unmarshal(b, (*[]string)(t))
	}
	var text string
	if err := json.Unmarshal(b, &text); err != nil {
		return err
	}
	for tag := range strings.SplitSeq(text, ",") {
		if tag = strings.TrimSpace(tag); tag != "" {
			*t = append(*t, tag)
		}
	}
	return nil
}

type invalidateRequest struct {
	// Tags of the pages and values: an array, or one string with commas.
	Tags tagList `json:"tags"`
}

type expireRequest struct {
	// Tags of the pages and values: an array, or one string with commas.
	Tags tagList `json:"tags"`
	// Deadline is the time for which they may still be served stale; 0 is none.
	Deadline int64 `json:"revalidationDeadlineSeconds,omitempty"`
}

func invalidateTags(a *API, r *http.Request, in *invalidateRequest) (*none, error) {
	return a.invalidate(r, lateen.Invalidation{Tags: in.Tags, Grace: -1})
}

func expireTags(a *API, r *http.Request, in *expireRequest) (*none, error) {
	if in.Deadline < 0 {
		return nil, lateen.ErrInvalid.With("revalidationDeadlineSeconds is negative")
	}
	return a.invalidate(r, lateen.Invalidation{Tags: in.Tags, Grace: in.Deadline})
}

func purgePages(a *API, r *http.Request, _ *none) (*none, error) {
	return a.invalidate(r, lateen.Invalidation{Pages: true})
}

func purgeData(a *API, r *http.Request, _ *none) (*none, error) {
	return a.invalidate(r, lateen.Invalidation{Data: true})
}

func (a *API) invalidate(r *http.Request, content lateen.Invalidation) (*none, error) {
	return nil, a.Control.InvalidateCache(r.Context(), r.URL.Query().Get("projectIdOrName"), content)
}
