package edge

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/share"
)

// twoTenants is [middlewareStage] with a second deployment of another team, at
// other.localhost.
func twoTenants(t *testing.T) *stage {
	t.Helper()
	s := middlewareStage(t, func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		next(w, r)
	})
	s.options.Source = sources(func(_ context.Context, d lateen.DeploymentID) (*lateen.Site, error) {
		site := *s.site
		if site.Deployment = d; d == "dpl_2" {
			site.Team, site.Project, site.Host = "team_2", "prj_2", "other-abc-team.localhost"
		}
		return &site, nil
	})
	s.open()
	s.edge.Route(map[string]lateen.Binding{"other.localhost": {Deployment: "dpl_2"}})
	return s
}

// A client that announces bodies and does not send them takes no memory from other
// requests: docs/how-to/tenants.md.
func TestUnsentBodiesTakeLittleMemory(t *testing.T) {
	s := twoTenants(t)
	for n := range 2 * bodyMemory / middlewareBody {
		c := s.dial()
		framing := "Transfer-Encoding: chunked"
		if n%2 == 0 {
			framing = fmt.Sprint("Content-Length: ", middlewareBody)
		}
		fmt.Fprintf(c, "POST /fn HTTP/1.1\r\nHost: app.localhost\r\n%s\r\n\r\n", framing)
	}
	for _, host := range []string{"app.localhost", "other.localhost"} {
		resp, body := s.do("POST", "/fn", strings.NewReader("payload"), "Host: "+host)
		if is(t, resp, 200, ""); body != "payload" {
			t.Errorf("%s: the function saw %q", host, body)
		}
	}
}

// See docs/how-to/tenants.md.
func TestATeamThatHoldsManyBodiesLeavesMemoryToOthers(t *testing.T) {
	s := twoTenants(t)
	const pieces = 16
	s.edge.memory = share.NewAmount[string](pieces * copyBuffer)
	held := make(chan *io.PipeWriter, pieces)
	for range pieces { // each body has sent one piece and is not complete
		r, w := io.Pipe()
		go func() {
			resp, err := s.client.Do(s.request("POST", "/fn", r))
			if err == nil {
				resp.Body.Close()
			}
			r.Close()
		}()
		go func() {
			w.Write(make([]byte, 100))
			held <- w
		}()
	}
	for range pieces {
		defer (<-held).CloseWithError(http.ErrAbortHandler)
	}
	for s.edge.memory.Free() > pieces*2/3*copyBuffer { // until the team has used up its share
		resp, _ := s.get("/fn")
		is(t, resp, 200, "")
	}
	resp, _ := s.do("POST", "/fn", strings.NewReader("payload"))
	is(t, resp, 503, "OVERLOADED")
	resp, body := s.do("POST", "/fn", strings.NewReader("payload"), "Host: other.localhost")
	if is(t, resp, 200, ""); body != "payload" {
		t.Errorf("the function saw %q", body)
	}
}
