package api_test

import (
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/api"
)

const concurrent = 40 // calls

// gate counts arriving calls, and blocks them until the test opens it.
type gate struct {
	came, open chan struct{}
}

func newGate() *gate { return &gate{came: make(chan struct{}, 1000), open: make(chan struct{})} }

func (g *gate) pass() {
	g.came <- struct{}{}
	<-g.open
}

// heldFunctions blocks the requests for the state of functions at a gate.
type heldFunctions struct {
	*world

	gate *gate
}

// Functions implements [api.Functions].
func (f heldFunctions) Functions(lateen.ProjectID) []lateen.FunctionState {
	f.gate.pass()
	return nil
}

// A call with another token is served for any number of calls of the first token. The
// calls without a place wait and use no memory.
func TestTheConcurrentCallsOfOneTokenAreBounded(t *testing.T) {
	for name, c := range map[string]struct {
		path string
		most int
	}{
		"calls":                     {"/v13/deployments/{deployment}", 6},
		"calls that read manifests": {"/v1/projects/{project}/functions", 3},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.token(t, "owner", "greedy", lateen.ScopeReadOnly, "")
			greedy, g := "Bearer "+w.tokens["greedy"], newGate()
			w.SiteURL = func(host string) string { g.pass(); return "http://" + host }
			handler, err := api.New(api.Options{Control: w.Control, Logs: w.Logs, Log: w.Log, Functions: heldFunctions{w, g}})
			if err != nil {
				t.Fatal(err)
			}
			var begun sync.WaitGroup
			begun.Add(concurrent)
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Header.Get("Authorization") == greedy {
					begun.Done()
				}
				handler.ServeHTTP(w, r)
			}))
			defer server.Close()
			var all sync.WaitGroup
			call := func(as string) {
				if resp := w.streamAs(t, as, server.URL, c.path); resp.StatusCode != http.StatusOK {
					t.Errorf("%s gets %d", as, resp.StatusCode)
				}
			}
			for range concurrent {
				all.Go(func() { call("greedy") })
			}
			begun.Wait()
			for range c.most {
				<-g.came // calls in progress
			}
			for range concurrent { // gives the other calls the time to arrive
				w.streamAs(t, "owner", server.URL, "/v2/user").Body.Close()
			}
			all.Go(func() { call("owner") })
			<-g.came // it has a place
			if more := len(g.came); more > 0 {
				t.Errorf("one token has more than %d concurrent calls", c.most)
			}
			close(g.open)
			all.Wait()
		})
	}
}
