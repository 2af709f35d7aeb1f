package api

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/lateen-dev/lateen"
)

// parameterDocs describes the query parameters of the routes.
var parameterDocs = map[string]string{
	"after":               "with follow: cursor of the last received entry, or X-Lateen-Cursor of the response; the entries recorded since then are sent first",
	"app":                 "name of a project",
	"before":              "cursor of the last entry of the previous page",
	"branch":              "a Git branch",
	"cursor":              "pagination.next of the previous page",
	"customEnvironmentId": "slug of a custom environment",
	"debug":               "1 or 2: the profile as text",
	"decrypt":             "true: include the values of encrypted variables, if the token may read them; the read is in the audit log",
	"deploymentId":        "id of a deployment",
	"direction":           "forward or backward in time",
	"endDate":             "Unix milliseconds: before this time",
	"environment":         "production, preview or a custom environment",
	"failedOnly":          "true: only failed aliases",
	"follow":              "1: wait for further entries",
	"format":              "lines: one JSON value per line",
	"from":                "Unix milliseconds: created before this time",
	"gitBranch":           "a Git branch",
	"level":               "error, warning, info; comma-separated",
	"limit":               "maximum number of items: 1 to 100, 20 if absent",
	"page":                "page of results, from 0",
	"prebuilt":            "1: the files contain a build output",
	"projectId":           "id of a project",
	"projectIdOrName":     "id or name of a project",
	"projectIds":          "comma-separated ids of projects",
	"repoUrl":             "URL of a Git repository that projects are connected to",
	"requestId":           "id of a request",
	"rollbackInfo":        "true: include lastAliasRequest, which is always included",
	"safe":                "1: refuse if aliases lead to the deployment",
	"search":              "part of a name or a message",
	"seconds":             "length of the profile, 1 to 60",
	"since":               "Unix milliseconds: at or after this time",
	"source":              "serverless, edge-function, edge-middleware, static; comma-separated",
	"startDate":           "Unix milliseconds: at or after this time",
	"state":               "comma-separated states",
	"statusCode":          "500, or 5xx",
	"target":              "production, preview, development or a custom environment",
	"types":               "comma-separated actions: env.read,token.create",
	"until":               "Unix milliseconds: created before this time",
	"untilTime":           "Unix milliseconds: before this time",
	"upsert":              "true: replace existing variables",
	"userId":              "comma-separated ids of users",
	"users":               "comma-separated ids of users",
}

const maxPage = 100

// limitOf returns the number of items that a request wants.
func limitOf(r *http.Request) (int, error) {
	text := r.URL.Query().Get("limit")
	if text == "" {
		return 20, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		return 0, lateen.ErrInvalid.With("limit is %q: 1 to %d", text, maxPage)
	}
	return min(n, maxPage), nil
}

// millisOf returns a time in the query: Unix milliseconds or RFC 3339; 0 if absent.
func millisOf(r *http.Request, name string) (lateen.Millis, error) {
	text := r.URL.Query().Get(name)
	if text == "" {
		return 0, nil
	}
	if ms, err := strconv.ParseFloat(text, 64); err == nil && ms >= 0 && ms < 1e15 {
		return lateen.Millis(ms), nil
	}
	if t, err := time.Parse(time.RFC3339, text); err == nil {
		return lateen.MillisOf(t), nil
	}
	return 0, lateen.ErrInvalid.With("%s is %q: it must be Unix milliseconds or an RFC 3339 time", name, text)
}

// flagOf reports whether a query parameter is true.
func flagOf(r *http.Request, name string) bool {
	value := r.URL.Query().Get(name)
	return value == "1" || value == "true"
}

// maxWords limits a list in a query parameter: each word becomes a parameter of a
// statement, and databases limit those.
const maxWords = 100

// wordsOf splits a query parameter at its commas.
func wordsOf[T ~string](r *http.Request, name string) ([]T, error) {
	var words []T
	for word := range strings.FieldsFuncSeq(r.URL.Query().Get(name), func(c rune) bool { return c == ',' }) {
		if len(words) == maxWords {
			return nil, lateen.ErrInvalid.With("%s has more than %d values", name, maxWords)
		}
		words = append(words, T(word))
	}
	return words, nil
}

// pagination has the time of the next page: until=next.
type pagination struct {
	Count int            `json:"count"`
	Next  *lateen.Millis `json:"next"`
	Prev  *lateen.Millis `json:"prev"`
}

// pageOf describes a page of items for a limit; first and last are the creation
// times of its first and last item.
func pageOf(count, limit int, first, last lateen.Millis) pagination {
	p := pagination{Count: count}
	if count > 0 {
		p.Prev = &first
	}
	if count >= limit {
		p.Next = &last
	}
	return p
}

// environmentList is a list of environments that a client may write as one string.
type environmentList []lateen.Environment

// UnmarshalJSON reads a string, a list of strings or null.
func (l *environmentList) UnmarshalJSON(b []byte) error {
	*l = nil
	if len(b) > 0 && b[0] == '"' {
		*l = environmentList{""}
		return json.Unmarshal(b, &(*l)[0])
	}
	return json.Unmarshal(b, (*[]lateen.Environment)(l))
}

// oneOrMany is a list that a client may write as its only item.
type oneOrMany[T any] struct {
	Items []T
	One   bool // the client wrote one item
}

// UnmarshalJSON reads an item or a list of items.
func (l *oneOrMany[T]) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '[' {
		return decodeJSON(b, &l.Items)
	}
	l.Items, l.One = make([]T, 1), true
	return decodeJSON(b, &l.Items[0])
}

// MarshalJSON writes a list, or the only item if the client wrote one.
func (l oneOrMany[T]) MarshalJSON() ([]byte, error) {
	if l.One && len(l.Items) == 1 {
		return json.Marshal(l.Items[0])
	}
	return json.Marshal(l.Items)
}

// envMap is the environment of one deployment: a client may write values as numbers
// and booleans.
type envMap map[string]string

// UnmarshalJSON reads an object of scalars; null is an absent variable.
func (m *envMap) UnmarshalJSON(b []byte) error {
	var raw map[string]any
	decoder := json.NewDecoder(bytes.NewReader(b))
	decoder.UseNumber()
	if err := decoder.Decode(&raw); err != nil {
		return lateen.ErrInvalid.With("env must be an object of names and values").Because(err)
	}
	*m = make(envMap, len(raw))
	for key, value := range raw {
		switch value := value.(type) {
		case nil:
		case string:
			(*m)[key] = value
		case json.Number:
			(*m)[key] = value.String()
		case bool:
			(*m)[key] = strconv.FormatBool(value)
		default:
			return errEnvValue.With("the value of %s must be a string", key)
		}
	}
	return nil
}
