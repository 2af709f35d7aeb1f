package local

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/engine"
	"github.com/lateen-dev/lateen/internal/engine/enginetest"
)

// programs creates a tree with the test program under all its names.
func programs(t *testing.T, r *rig) lateen.Digest {
	t.Helper()
	tree := r.tree("programs", map[string]string{"text": "no program", "script": "#!/no/such/interpreter\n", "foreign": "\x7fELF nothing"})
	dir := filepath.Join(r.trees, string(tree))
	build := exec.Command("go", "build", "-o", filepath.Join(dir, "server"), "./testdata/program")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, name := range []string{"six", "wrapper", "elsewhere", "exits", "idle", "bootstrap", "broken"} {
		if err := os.Link(filepath.Join(dir, "server"), filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"script", "foreign"} {
		if err := os.Chmod(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return tree
}

func TestPrograms(t *testing.T) {
	r := newRig(t)
	tree := programs(t, r)
	program := func(handler string) lateen.Function {
		return lateen.Function{Runtime: "executable", Handler: handler, Tree: tree}
	}
	t.Run("a server on $PORT", func(t *testing.T) { testServer(t, r, program("server")) })
	t.Run("a server for either family", func(t *testing.T) {
		i := r.start(t, program("six"), nil)
		if resp, _ := whole(t, i, to(t, http.MethodGet, "/", nil)); resp.StatusCode != http.StatusOK {
			t.Error(resp.Status)
		}
	})
	t.Run("streams and upgrades", func(t *testing.T) { testServerStreams(t, r, program("server")) })
	t.Run("failures", func(t *testing.T) { testServerFails(t, r, program("server")) })
	t.Run("a server that closes idle connections", func(t *testing.T) { testServerIdles(t, r, program("idle")) })
	t.Run("a wrapper that speaks the protocol", func(t *testing.T) { testWrapper(t, r, program("wrapper")) })
	t.Run("unusable programs", func(t *testing.T) {
		for handler, text := range map[string]string{
			"text": "text is not executable", "script": "needs an interpreter or loader that is not here", "foreign": "is no program for",
			"exits": "it exited with status 7\n\n",
		} {
			_, err := r.begin(t, program(handler), nil)
			if !errors.Is(err, lateen.ErrFunctionFailed) || !strings.Contains(err.Error(), text) {
				t.Errorf("%s: %v, want %q", handler, err, text)
			}
		}
	})
}

func testServer(t *testing.T, r *rig, f lateen.Function) {
	i := r.start(t, f, map[string]string{"GREETING": "hello"})
	for range 3 {
		req := to(t, http.MethodPost, "/path/a%20b?x=1&y", strings.NewReader("a body"))
		resp, body := whole(t, i, req)
		var got struct {
			Method, Target, Host, Body, Greeting, Cwd, Node string
			Header                                          http.Header
			UID                                             int
		}
		if err := json.Unmarshal([]byte(body), &got); err != nil { //nolint:musttag // names fit but for case
			t.Fatal(err)
		}
		if got.Method != "POST" || got.Target != "/path/a%20b?x=1&y" || got.Host != "example.com" || got.Body != "a body" || got.Greeting != "hello" || got.Node != "" {
			t.Errorf("got %+v", got)
		}
		if cookies := resp.Header["Set-Cookie"]; len(cookies) != 2 || resp.Header.Get("Connection") != "" {
			t.Errorf("response header: %v", resp.Header)
		}
		for name := range got.Header {
			if strings.HasPrefix(strings.ToLower(name), "x-vercel-internal") {
				t.Errorf("got %s", name)
			}
		}
		if os.Geteuid() == 0 && got.UID == 0 {
			t.Error("the program runs as root")
		}
		if line := r.awaitLine(t, i, "line of /path"); line.Request == "" {
			t.Errorf("the line %+v belongs to no request", line)
		}
	}
	rests(t, i)
	if u := i.Usage(); u.Memory <= 0 {
		t.Errorf("usage: %+v", u)
	}
}

// testServerIdles: every request gets a response although the server has closed the
// previous connection, while the instance ran or while it was frozen.
func testServerIdles(t *testing.T, r *rig, f lateen.Function) {
	i := r.start(t, f, nil)
	for n := range 4 {
		whole(t, i, to(t, http.MethodGet, "/", nil))
		r.awaitLine(t, i, fmt.Sprintf("closed connection %d.", n+1))
	}
	for range 4 {
		whole(t, i, to(t, http.MethodGet, "/", nil))
		rests(t, i)
		if err := i.Freeze(); errors.Is(err, errors.ErrUnsupported) {
			t.Skip(err)
		} else if err != nil {
			t.Fatal(err)
		}
		if err := i.Thaw(); err != nil {
			t.Fatal(err)
		}
	}
}

func testServerStreams(t *testing.T, r *rig, f lateen.Function) {
	i := r.start(t, f, nil)
	enginetest.Shouts(t, i, func(body io.Reader) *http.Request { return to(t, http.MethodPost, "/stream", body) })
	rests(t, i)
	upgrade := to(t, http.MethodGet, "/upgrade", nil)
	upgrade.Header.Set("Connection", "Upgrade")
	upgrade.Header.Set("Upgrade", "echo")
	switched, err := i.RoundTrip(upgrade)
	if err != nil || switched.StatusCode != http.StatusSwitchingProtocols {
		t.Fatal(switched, err)
	}
	conn := switched.Body.(io.ReadWriteCloser)
	if _, err := io.WriteString(conn, "ping"); err != nil {
		t.Fatal(err)
	}
	echo := make([]byte, 4)
	if _, err := io.ReadFull(conn, echo); err != nil || string(echo) != "ping" {
		t.Errorf("echo: %q, %v", echo, err)
	}
	if i.Busy() != 1 {
		t.Errorf("%d open requests", i.Busy())
	}
	conn.Close()
	rests(t, i)
}

func testServerFails(t *testing.T, r *rig, f lateen.Function) {
	for _, c := range []struct {
		target string
		want   error
		text   string
		ends   bool
	}{
		{"/exit", lateen.ErrFunctionFailed, "it exited with status 3", true},
		{"/cut", lateen.ErrFunctionFailed, "in the middle of its response: it exited with status 4", true},
		{"/hang-up", lateen.ErrFunctionNoResponse, "without a response", false},
	} {
		t.Run(c.target, func(t *testing.T) {
			i := r.start(t, f, nil)
			whole(t, i, to(t, http.MethodGet, "/", nil))
			fails(t, i, c.target, c.want, c.text)
			rests(t, i)
			if c.ends {
				<-i.Done()
				if _, err := i.RoundTrip(to(t, http.MethodGet, "/", nil)); !errors.Is(err, engine.ErrNotTaken) {
					t.Errorf("the next request: %v", err)
				}
			} else if resp, _ := whole(t, i, to(t, http.MethodGet, "/", nil)); resp.StatusCode != http.StatusOK {
				t.Error(resp.Status)
			}
		})
	}
	t.Run("a request that was read and reset is not retried", func(t *testing.T) {
		i := r.start(t, f, nil)
		if _, err := i.RoundTrip(to(t, http.MethodGet, "/reset", nil)); !errors.Is(err, lateen.ErrFunctionNoResponse) || errors.Is(err, engine.ErrNotTaken) {
			t.Errorf("error: %v", err)
		}
		rests(t, i)
	})
	t.Run("memory", func(t *testing.T) {
		f := f
		f.Memory = 128
		fails(t, r.start(t, f, nil), "/memory", lateen.ErrFunctionFailed, "it used more than 128 MiB of memory")
	})
	t.Run("the client disconnects", func(t *testing.T) {
		i := r.start(t, f, nil)
		req := to(t, http.MethodGet, "/wait", nil)
		ctx, cancel := context.WithCancel(req.Context())
		failed := make(chan error, 1)
		go func() {
			_, err := i.RoundTrip(req.WithContext(ctx))
			failed <- err
		}()
		r.awaitLine(t, i, "waiting")
		cancel()
		if err := <-failed; err == nil {
			t.Error("the request succeeded")
		}
		r.awaitLine(t, i, "gone")
		rests(t, i)
	})
	t.Run("no listener on $PORT", func(t *testing.T) {
		r.instances.LoadTimeout = 2 * time.Second // ten times the limit to listen
		defer func() { r.instances.LoadTimeout = 30 * time.Second }()
		f := f
		f.Handler = "elsewhere"
		if _, err := r.begin(t, f, nil); !errors.Is(err, lateen.ErrFunctionFailed) || !strings.Contains(err.Error(), "instead of $PORT") {
			t.Errorf("error: %v", err)
		}
	})
}

func testWrapper(t *testing.T, r *rig, f lateen.Function) {
	i := r.start(t, f, nil)
	for _, path := range []string{"/a", "/late"} {
		req := to(t, http.MethodGet, path, nil)
		if _, body := whole(t, i, req); body != "wrapped "+path {
			t.Errorf("got %q", body)
		}
		rests(t, i)
		if line := r.awaitLine(t, i, "told by the wrapper"); line.Request == "" {
			t.Errorf("the line %+v belongs to no request", line)
		}
	}
}

func TestLambdas(t *testing.T) {
	r := newRig(t)
	tree := programs(t, r)
	f := lateen.Function{Runtime: "provided.al2023", Handler: "bootstrap", Tree: tree, MaxDuration: 60, Memory: 256}
	t.Run("Vercel's event", func(t *testing.T) { testVercelEvent(t, r.start(t, f, nil)) })
	gateway := f
	gateway.AWSHandler, gateway.Handler = "any", "any"
	t.Run("a gateway's event", func(t *testing.T) { testGatewayEvent(t, r.start(t, gateway, nil)) })
	t.Run("a stream", func(t *testing.T) {
		i := r.start(t, gateway, nil)
		resp, body := whole(t, i, to(t, http.MethodGet, "/stream", nil))
		if resp.StatusCode != http.StatusCreated || body != "firstsecond" || resp.Header.Get("X-A") != "b" || resp.Header.Get("Set-Cookie") != "c=1" {
			t.Errorf("got %s %q %v", resp.Status, body, resp.Header)
		}
		fails(t, i, "/streams-and-fails", lateen.ErrFunctionFailed, "")
		rests(t, i)
	})
	t.Run("one request at a time", func(t *testing.T) {
		i := r.start(t, f, nil)
		done := make(chan string, 8)
		for range cap(done) {
			req := to(t, http.MethodGet, "/", nil)
			go func() {
				resp, err := i.RoundTrip(req)
				if err != nil {
					done <- err.Error()
					return
				}
				resp.Body.Close()
				done <- resp.Status
			}()
		}
		for range cap(done) {
			if got := <-done; got != "200 OK" {
				t.Error(got)
			}
		}
		rests(t, i)
	})
	t.Run("failures", func(t *testing.T) {
		i := r.start(t, f, nil)
		fails(t, i, "/throw", lateen.ErrFunctionFailed, "TypeError: thrown")
		if line := r.awaitLine(t, i, "TypeError: thrown"); line.Request == "" || line.Level != lateen.LevelError {
			t.Errorf("log line: %+v", line)
		}
		fails(t, i, "/nonsense", lateen.ErrFunctionFailed, "the program's response is not")
		fails(t, i, "/exit", lateen.ErrFunctionFailed, "it exited with status 5")
		<-i.Done()
		broken := f
		broken.Handler = "broken"
		if _, err := r.begin(t, broken, nil); !errors.Is(err, lateen.ErrFunctionFailed) || !strings.Contains(err.Error(), "InitError: no database") {
			t.Errorf("error: %v", err)
		}
	})
}

func testVercelEvent(t *testing.T, i engine.Instance) {
	resp, body := whole(t, i, to(t, http.MethodPost, "/p?q=1", bytes.NewReader([]byte{0xff, 1})))
	var got struct {
		Inner struct {
			Method, Host, Path, Encoding string
			Body                         []byte
			Headers                      map[string]any
		}
		Deadline, Task, Handler, Name, Size string
	}
	if err := json.Unmarshal([]byte(body), &got); err != nil { //nolint:musttag // names fit but for case
		t.Fatal(err)
	}
	in := got.Inner
	if in.Method != "POST" || in.Host != "example.com" || in.Path != "/p?q=1" || in.Encoding != "base64" || !bytes.Equal(in.Body, []byte{0xff, 1}) || in.Headers["x-forwarded-proto"] != "https" {
		t.Errorf("event: %+v", in)
	}
	if got.Task == "" || got.Handler != "bootstrap" || got.Name != "programs" || got.Size != "256" || got.Deadline == "" {
		t.Errorf("got %+v", got)
	}
	if len(resp.Header["Set-Cookie"]) != 2 || resp.Header.Get("X-One") != "1" {
		t.Errorf("response header: %v", resp.Header)
	}
}

func testGatewayEvent(t *testing.T, i engine.Instance) {
	req := to(t, http.MethodPut, "/p%20q/r?a=1&a=2&b=", strings.NewReader("text"))
	req.Header.Set("Cookie", "x=1; y=2")
	_, body := whole(t, i, req)
	var got struct {
		Version, RawPath, RawQueryString, Path, HTTPMethod, Body string
		IsBase64Encoded                                          bool
		Cookies                                                  []string
		QueryStringParameters                                    map[string]string
		MultiValueQueryStringParameters                          map[string][]string
		Handler                                                  string
		RequestContext                                           struct{ HTTP struct{ Method, Path string } }
	}
	if err := json.Unmarshal([]byte(body), &got); err != nil { //nolint:musttag // names fit but for case
		t.Fatal(err)
	}
	if got.Version != "2.0" || got.RawPath != "/p%20q/r" || got.RawQueryString != "a=1&a=2&b=" || got.Path != "/p q/r" || got.HTTPMethod != "PUT" || got.Body != "text" || got.IsBase64Encoded {
		t.Errorf("event: %+v", got)
	}
	if len(got.Cookies) != 2 || got.QueryStringParameters["a"] != "1,2" || len(got.MultiValueQueryStringParameters["a"]) != 2 || got.RequestContext.HTTP.Method != "PUT" || got.Handler != "any" {
		t.Errorf("event: %+v", got)
	}
}
