package enginetest

import (
	"encoding/json"
	"io"
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lateen-dev/lateen"
)

func (s *Suite) edge(t *testing.T) {
	t.Run("the API", func(t *testing.T) {
		f := s.start(t, "edge", "web.js", func(spec *lateen.FunctionSpec) {
			spec.Env["SECRET"] = "not in use"
			spec.Function.EdgeEnvVarsInUse = []string{"GREETING"}
		})
		var got any
		if err := json.Unmarshal([]byte(f.get("/a?b=c").body), &got); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(map[string]any{
			"url": "https://example.com/a?b=c", "kind": "suffix", "runtime": "string", "self": true, "realm": true, "timer": "number",
			"absent":  []any{"undefined", "undefined", "undefined", "undefined", "undefined"},
			"inspect": "{ a: 1 }", "required": "function", "env": "hello", "secret": nil, "waitUntil": "function",
		}, got); diff != "" {
			t.Errorf("request (-want +got):\n%s", diff)
		}
	})
	for _, c := range []struct{ handler, want string }{
		{"conditions.js", "200 edge"},
		{"methods.js", "200 got"},
		{"dynamic.js", `200 ["rejected","rejected","rejected"]`},
		{"wasm.js", "200 [3,7]"},
		{"asset.js", "200 from an asset\n"},
	} {
		t.Run(c.handler, func(t *testing.T) {
			f := s.start(t, "edge", c.handler, func(spec *lateen.FunctionSpec) {
				spec.Function.EdgeAssets = []lateen.Asset{{Name: "note", Path: "assets/note"}}
			})
			for range 2 {
				if got := f.get("/").String(); got != c.want {
					t.Errorf("got %s, want %s", got, c.want)
				}
			}
		})
	}
	t.Run("methods without a handler are refused", func(t *testing.T) {
		f := s.start(t, "edge", "methods.js", nil)
		if got := f.do(f.request(http.MethodPut, "/", nil)); got.status != http.StatusMethodNotAllowed {
			t.Errorf("got %s", got)
		}
	})
	t.Run("modules of Node.js are refused", func(t *testing.T) {
		_, err := s.Engine.Start(t.Context(), Spec("edge", "fs.js", nil))
		fails(t, err, lateen.ErrFunctionFailed, "does not have the Node.js module 'node:fs'")
	})
	for handler, want := range map[string]struct {
		err  error
		text string
	}{
		"throws.js":  {lateen.ErrFunctionFailed, "Error: thrown at the edge"},
		"nothing.js": {lateen.ErrFunctionNoResponse, "did not return a Response"},
	} {
		t.Run(handler+" fails its request", func(t *testing.T) {
			f := s.start(t, "edge", handler, nil)
			for range 2 { // the instance stays
				_, err := f.try(f.request(http.MethodGet, "/", nil))
				fails(t, err, want.err, want.text)
			}
		})
	}
	t.Run("a forgotten rejection fails its request", func(t *testing.T) {
		f := s.start(t, "edge", "rejects.js", nil)
		_, err := f.try(f.request(http.MethodGet, "/", nil))
		fails(t, err, lateen.ErrFunctionFailed, "forgotten at the edge")
		f.ends()
	})
	t.Run("middleware", func(t *testing.T) {
		f := s.start(t, "edge", "middleware.js", func(spec *lateen.FunctionSpec) { spec.Name = "/middleware" })
		if got := f.get("/go"); got.String() != "200 " || got.header.Get("X-Middleware-Next") != "1" {
			t.Errorf("no response: %s %v", got, got.header)
		}
		if got := f.get("/stop"); got.String() != "403 stopped" {
			t.Errorf("response: %s", got)
		}
	})
	t.Run("streaming", func(t *testing.T) {
		f := s.start(t, "edge", "stream.js", nil)
		r, w := io.Pipe()
		resp, err := f.RoundTrip(f.request(http.MethodPost, "/", r))
		if err != nil {
			t.Fatal(err)
		}
		for _, piece := range []string{"first", "second"} {
			if _, err := io.WriteString(w, piece); err != nil {
				t.Fatal(err)
			}
			readExactly(t, resp.Body, map[string]string{"first": "FIRST", "second": "SECOND"}[piece])
		}
		w.Close()
		readAll(t, resp)
	})
	t.Run("log lines", func(t *testing.T) {
		f := s.start(t, "edge", "log.js", nil)
		r := f.wait(f.begin("/"))
		s.Logs.await(t, f.ID(), "careful")
		if line := s.Logs.await(t, f.ID(), "at the edge"); line.Source != "edge" || line.Request != r.request {
			t.Errorf("log line: %+v", line)
		}
	})
}
