package local

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/guest"
)

// TestARequestThatTheParserRefusesEnds: an instance with an open request is
// neither frozen nor stopped, and the agent reports no end of a request that user
// code has not seen.
func TestARequestThatTheParserRefusesEnds(t *testing.T) {
	r := newRig(t)
	tree := r.tree("methods", map[string]string{"index.js": `module.exports = (req, res) => res.end(req.method);`})
	for _, runtime := range []string{"nodejs22.x", "nodejs24.x"} {
		t.Run(runtime, func(t *testing.T) {
			i := r.start(t, lateen.Function{Runtime: runtime, Handler: "index.js", Tree: tree}, nil)
			for method, want := range map[string]int{"PURGE": http.StatusOK, "BREW": http.StatusBadRequest, "get": http.StatusBadRequest} {
				resp, _ := whole(t, i, to(t, method, "/", nil))
				if resp.StatusCode != want {
					t.Errorf("%s: %s, want %d", method, resp.Status, want)
				}
				if values := resp.Header.Values(guest.HeaderFailure); len(values) > 0 {
					t.Errorf("%s: the client gets the fields %s", method, values)
				}
				rests(t, i)
			}
		})
	}
}

// TestARequestMayHaveManyFields: the default limit of Node.js is 1,000 fields, and
// the platform's fields are the last.
func TestARequestMayHaveManyFields(t *testing.T) {
	r := newRig(t)
	tree := r.tree("fields", map[string]string{"index.js": `module.exports = (req, res) => {
  console.log('asked');
  res.end(Object.keys(req.headers).filter((name) => name.startsWith('a')).length + ' ' + Object.keys(req.headers).filter((name) => name.includes('internal')).length);
};`})
	for _, runtime := range []string{"nodejs22.x", "nodejs24.x"} {
		t.Run(runtime, func(t *testing.T) {
			i := r.start(t, lateen.Function{Runtime: runtime, Handler: "index.js", Tree: tree}, nil)
			req := to(t, http.MethodGet, "/", nil)
			for n := range 5000 {
				req.Header.Set(fmt.Sprintf("A%d", n), "b")
			}
			resp, body := whole(t, i, req)
			if resp.StatusCode != http.StatusOK || body != "5000 0" {
				t.Errorf("%s %q, want 200 and 5000 fields of the client", resp.Status, body)
			}
			if line, want := r.awaitLine(t, i, "asked"), lateen.RequestIDFrom(req.Context()); line.Request != want {
				t.Errorf("request of the log line: %q, want %q", line.Request, want)
			}
			rests(t, i)
		})
	}
}
