package problem

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"html/template"
	"net/http"
	"strconv"
	"strings"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/accept"
)

//go:embed page.html
var pageHTML string

// Pages renders problems. Use [NewPages].
type Pages struct{ html *template.Template }

// NewPages returns a renderer.
func NewPages() *Pages { return &Pages{template.Must(template.New("error").Parse(pageHTML))} }

// Render returns the header and the body of the page of p: HTML, JSON or text by the
// Accept in the request's header, with the ID of the request.
func (r *Pages) Render(p Problem, request http.Header, id lateen.RequestID) (http.Header, []byte) {
	p.next = strings.Replace(p.next, "--request ID", "--request "+string(id), 1)
	kind, body := r.render(&p, request, id)
	h := http.Header{"Content-Type": {kind}, "Content-Length": {strconv.Itoa(len(body))}}
	if p.retryIn > 0 {
		h["Retry-After"] = []string{strconv.Itoa(p.retryIn)}
	}
	return h, body
}

// render returns p in the form the client accepts, and its media type.
func (r *Pages) render(p *Problem, request http.Header, id lateen.RequestID) (kind string, body []byte) {
	text := accept.Type(request, "text/plain")
	page, object := accept.Type(request, "text/html"), accept.Type(request, "application/json")
	switch {
	case page > text && page >= object:
		return "text/html; charset=utf-8", r.asHTML(p, id)
	case object > text, object == text && object == 1: // named explicitly, not by a wildcard
		return "application/json; charset=utf-8", asJSON(p, id)
	default:
		return "text/plain; charset=utf-8", []byte(p.title + "\n\n" + p.Code + "\n\n" + string(id) + "\n")
	}
}

func (r *Pages) asHTML(p *Problem, id lateen.RequestID) []byte {
	var b bytes.Buffer
	type text struct{ Plain, Code string } // exactly one is set
	var next []text
	for i, part := range strings.Split(p.next, "`") {
		if i%2 == 0 {
			next = append(next, text{Plain: part})
		} else {
			next = append(next, text{Code: part})
		}
	}
	err := r.html.Execute(&b, struct {
		Status                 int
		Code, Title, Fault, ID string
		Next                   []text
	}{p.Status, p.Code, p.title, p.fault(), string(id), next})
	if err != nil { // only a broken template fails
		return []byte(p.title)
	}
	return b.Bytes()
}

func asJSON(p *Problem, id lateen.RequestID) []byte {
	type body struct {
		Code    string `json:"code"`
		Message string `json:"message"`
		Fault   Blame  `json:"fault"`
		Hint    string `json:"hint,omitempty"`
		Request string `json:"requestId"`
	}
	b, err := json.Marshal(map[string]body{"error": {p.Code, p.title, p.Blame, p.next, string(id)}})
	if err != nil { // impossible: all values are strings
		return []byte("{}")
	}
	return append(b, '\n')
}
