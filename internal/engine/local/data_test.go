package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/datacache"
	"github.com/lateen-dev/lateen/internal/engine"
	"github.com/lateen-dev/lateen/internal/engine/enginetest"
)

// data uses the data cache in the way of Next.js.
const data = `const { FetchCache } = globalThis[Symbol.for('@next/cache-handlers')];
module.exports = async (req, res) => {
  const cache = new FetchCache({ _requestHeaders: req.headers, maxMemoryCacheSize: 4096 });
  const { pathname, searchParams } = new URL(req.url, 'http://x');
  const { key, text, tag, expire } = Object.fromEntries(searchParams);
  const tags = tag?.split(',');
  const durations = expire === undefined ? undefined : expire === 'never' ? {} : { expire: Number(expire) };
  switch (pathname) {
    case '/set':
      await cache.set(key, { kind: 'FETCH', data: { headers: {}, body: text, status: 200, url: '' }, revalidate: 60 }, { tags });
      break;
    case '/page':
      await cache.set(key, { kind: 'APP_PAGE', html: text }, {});
      break;
    case '/get': {
      const entry = await cache.get(key, { kind: searchParams.get('kind') ?? 'FETCH', softTags: tags });
      return res.end(entry ? (entry.lastModified ? 'fresh ' : 'stale ') + entry.value.data.body : 'none');
    }
    case '/late':
      res.write('');
      res.flushHeaders();
      // falls through
    case '/revalidate':
      await cache.revalidateTag(tags, durations);
  }
  res.end('ok');
};
`

// purged is an invalidation that an engine has reported.
type purged struct {
	deployment lateen.DeploymentID
	tags       string
	grace      time.Duration
}

// oneTree creates a tree with one file, and returns a function that serves it as the
// tree of every function.
func oneTree(t *testing.T, text string) (dir string, trees func(context.Context, lateen.Digest) (string, error)) {
	t.Helper()
	dir = filepath.Join(enginetest.Reachable(t), "trees")
	tree := filepath.Join(dir, "tree")
	if err := errors.Join(os.MkdirAll(tree, 0o755), os.WriteFile(filepath.Join(tree, "index.js"), []byte(text), 0o644)); err != nil {
		t.Fatal(err)
	}
	return dir, func(context.Context, lateen.Digest) (string, error) { return tree, nil }
}

// alone starts an instance of a function with one file.
func alone(t *testing.T, runtime, text string, purge func(datacache.Owner, []string, time.Duration)) engine.Instance {
	t.Helper()
	return aloneAs(t, "index.js", runtime, text, purge)
}

// aloneAs starts an instance of a function with one file, under a name.
func aloneAs(t *testing.T, name, runtime, text string, purge func(datacache.Owner, []string, time.Duration)) engine.Instance {
	t.Helper()
	o := fixture(t)
	o.TreesDir, o.Trees = oneTree(t, text)
	if err := os.Rename(filepath.Join(o.TreesDir, "tree", "index.js"), filepath.Join(o.TreesDir, "tree", name)); err != nil {
		t.Fatal(err)
	}
	o.Purge, o.TimeoutFactor = purge, slowness
	e, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- e.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	i, err := e.Start(t.Context(), enginetest.Spec("node", name, func(s *lateen.FunctionSpec) { s.Function.Runtime = runtime }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { end(i) })
	return i
}

// ask sends a request; header alternates names and values.
func ask(t testing.TB, i engine.Instance, method, target, body string, header ...string) (*http.Response, string) {
	t.Helper()
	u, err := url.Parse(target)
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), method, "http://example.com", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.URL = u
	for n := 0; n < len(header); n += 2 {
		req.Header.Set(header[n], header[n+1])
	}
	resp, err := i.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(text)
}

func TestDataIsCachedInTheInstanceUntilInvalidation(t *testing.T) {
	i := alone(t, "nodejs24.x", data, nil)
	get := func(want, target string, header ...string) {
		t.Helper()
		if _, got := ask(t, i, "GET", target, "", header...); got != want {
			t.Errorf("%s %v: %q, want %q", target, header, got, want)
		}
	}
	get("none", "/get?key=a")
	get("ok", "/set?key=a&text=1&tag=x,y")
	get("fresh 1", "/get?key=a")
	get("none", "/get?key=a&kind=APP_PAGE")
	get("ok", "/page?key=p&text=1")
	get("none", "/get?key=p&kind=APP_PAGE")

	get("ok", "/revalidate?tag=z")
	get("fresh 1", "/get?key=a")
	get("ok", "/revalidate?tag=y&expire=never")
	get("stale 1", "/get?key=a")
	get("ok", "/set?key=b&text=2&tag=x")
	get("ok", "/revalidate?tag=soft&expire=60")
	get("stale 2", "/get?key=b&tag=soft")
	get("ok", "/revalidate?tag=x&expire=0")
	get("none", "/get?key=a")
	get("none", "/get?key=b")

	// The request carries the invalidations of other instances.
	get("ok", "/set?key=c&text=3")
	now := time.Now().Add(time.Second).UnixMilli()
	get("fresh 3", "/get?key=c", "X-Lateen-Invalidated", strconv.FormatInt(now-60_000, 10))
	get("none", "/get?key=c", "X-Lateen-Invalidated", strconv.FormatInt(now, 10))

	// The oldest entries are evicted, and an entry that is too large is not stored.
	for n := range 10 {
		get("ok", fmt.Sprintf("/set?key=n%d&text=%s", n, strings.Repeat("n", 500)))
	}
	get("none", "/get?key=n0")
	get("fresh "+strings.Repeat("n", 500), "/get?key=n9")
	get("ok", "/set?key=n9&text="+strings.Repeat("n", 5000))
	get("none", "/get?key=n9")
}

func TestInvalidationsAreReported(t *testing.T) {
	told := make(chan purged, 10)
	i := alone(t, "nodejs24.x", data, func(o datacache.Owner, tags []string, grace time.Duration) {
		told <- purged{o.Deployment, strings.Join(tags, " "), grace}
	})
	for target, want := range map[string]string{
		"/revalidate?tag=a":              "tag=a&expire=0",
		"/revalidate?tag=a,b%26c":        "tag=a&tag=b%26c&expire=0",
		"/revalidate?tag=a&expire=1.5":   "tag=a&expire=1.5",
		"/revalidate?tag=a&expire=never": "tag=a",
	} {
		if resp, _ := ask(t, i, "GET", target, ""); resp.Header.Get("X-Lateen-Purge") != want {
			t.Errorf("%s: purge header %q, want %q", target, resp.Header.Get("X-Lateen-Purge"), want)
		}
	}
	for target, want := range map[string]purged{
		"/late?tag=a,b":            {"dpl_1", "a b", 0},
		"/late?tag=a&expire=2":     {"dpl_1", "a", 2 * time.Second},
		"/late?tag=a&expire=never": {"dpl_1", "a", -1},
	} {
		resp, _ := ask(t, i, "GET", target, "")
		select {
		case got := <-told:
			if got != want || resp.Header.Get("X-Lateen-Purge") != "" {
				t.Errorf("%s: purged %+v, want %+v", target, got, want)
			}
		case <-time.After(waitLimit):
			t.Fatalf("%s: no purge", target)
		}
	}
}

func TestEdgeRequestsStreamByDefault(t *testing.T) {
	i := alone(t, "edge", `class Own extends Request {}
export default (request) => {
  const again = new Own(request.url, { method: 'POST', headers: request.headers, body: request.body });
  const third = new Request(new Request(request.url, again), { headers: { x: '3' } });
  const is = request instanceof Request && again instanceof Request && again instanceof Own && third.headers.get('x') === '3';
  return new Response(third.body, { headers: { is: String(is) } });
};
`, nil)
	resp, body := ask(t, i, "POST", "/", "streamed")
	if resp.StatusCode != http.StatusOK || body != "streamed" || resp.Header.Get("Is") != "true" {
		t.Errorf("%s, %q, classes unchanged: %s", resp.Status, body, resp.Header.Get("Is"))
	}
}
