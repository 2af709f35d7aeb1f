package local

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/cache"
	"github.com/lateen-dev/lateen/internal/datacache"
	"github.com/lateen-dev/lateen/internal/engine"
	"github.com/lateen-dev/lateen/internal/engine/enginetest"
)

// sharedData uses the data caches in the way of Next.js, in several instances.
const sharedData = `const { FetchCache, RemoteCache } = globalThis[Symbol.for('@next/cache-handlers')];
let release; // resolves the promise for which /late waits
const now = () => performance.timeOrigin + performance.now();
const entry = (value, tags, timestamp = now()) => Promise.resolve({ value: new Response(value).body, tags, stale: 0, timestamp, expire: 3600, revalidate: 60 });
module.exports = async (req, res) => {
  const { pathname, searchParams } = new URL(req.url, 'http://x');
  const { key, text, tag, expire } = Object.fromEntries(searchParams);
  const tags = tag?.split(',') ?? [];
  const cache = new FetchCache({ _requestHeaders: req.headers });
  const fetched = (body) => ({ kind: 'FETCH', data: { headers: {}, body, status: 200, url: '' }, revalidate: 60 });
  const revalidate = () => {
    const durations = expire === undefined ? undefined : { expire: Number(expire) };
    return Promise.all([RemoteCache.updateTags(tags, durations), cache.revalidateTag(tags, durations)]);
  };
  const get = async () => {
    const found = await RemoteCache.get(key, tags);
    return found ? found.revalidate + ' ' + found.tags + ' ' + await new Response(found.value).text() : 'none';
  };
  const set = async (key, entry) => {
    await RemoteCache.set(key, entry);
    await RemoteCache.get(key, []); // which waits for the end of the set
  };
  switch (pathname) {
    case '/collect': // the platform's answer is due after 5 s
      return res.end(await Promise.race([
        RemoteCache.set(key, entry(text, tags)).then(() => 'collected'), new Promise((resolve) => setTimeout(resolve, 4500, 'waits')),
      ]));
    case '/set':
      await RemoteCache.get(key, []);
      await set(key, entry(text, tags));
      break;
    case '/get': return res.end(await get());
    case '/fetch': {
      const found = await cache.get(key, { kind: 'FETCH', softTags: tags });
      if (found) return res.end((found.lastModified ? 'fresh ' : 'stale ') + found.value.data.body);
      if (text) await cache.set(key, fetched(text), { tags });
      return res.end('none');
    }
    case '/tags': // of a read that the platform refuses
      await cache.get(key, { kind: 'FETCH', softTags: Array.from({ length: Number(text) }, (_, n) => 'tag ' + n) });
      await RemoteCache.get(key, Array.from({ length: Number(text) }, (_, n) => 'tag ' + n));
      break;
    case '/late': // computes for as long as it is told
      await RemoteCache.get(key, []);
      await cache.get(key, { kind: 'FETCH' });
      const timestamp = now();
      res.write('began');
      await new Promise((resolve) => (release = resolve));
      await set(key, entry(text, tags, timestamp));
      await cache.set(key, fetched(text), { tags });
      return res.end();
    case '/release': release(); break;
    case '/revalidate': await revalidate(); break;
    case '/action': // revalidates, and renders in the same response
      await revalidate();
      const before = await get();
      await set(key, entry(text, tags));
      return res.end(before);
    case '/large': await set(key, entry(Buffer.alloc(3 << 20, 'x'), tags)); break;
    case '/big': await set(key, entry(Buffer.alloc(1 << 20, text), tags)); break;
    case '/size': return res.end(String((await get()).length));
    case '/cut': // the computation fails in the middle
      await set(key, Promise.resolve({ tags, stale: 0, timestamp: now(), expire: 60, revalidate: 60,
        value: new ReadableStream({ start(c) { c.enqueue(Buffer.from('half')); c.error(new Error('cut')); } }) }));
      break;
    case '/many': await Promise.all(Array.from({ length: 200 }, (_, n) => set(key + n, entry(text + n, tags)))); break;
    case '/all': return res.end(String((await Promise.all(Array.from({ length: 200 }, (_, n) => RemoteCache.get(key + n, [])))).filter(Boolean).length));
  }
  res.end('ok');
};
`

// sharing returns a function that starts instances of deployments which share a data
// cache, and the end of the engine.
func sharing(t *testing.T, data datacache.Cache) func(d lateen.DeploymentID) engine.Instance {
	t.Helper()
	o := fixture(t)
	o.TreesDir, o.Trees = oneTree(t, sharedData)
	o.Data = data
	e := running(t, o)
	return func(d lateen.DeploymentID) engine.Instance {
		t.Helper()
		i, err := e.Start(t.Context(), enginetest.Spec("node", "index.js", func(s *lateen.FunctionSpec) {
			s.Deployment, s.Project, s.Key = d, "prj_"+lateen.ProjectID(d), lateen.FunctionKey(d)
		}))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { end(i) })
		return i
	}
}

func openCache(t *testing.T, dir string) *cache.Cache {
	t.Helper()
	c, err := cache.Open(cache.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// expect checks the answers of instances.
func expect(t *testing.T, i engine.Instance, want, target string) *http.Response {
	t.Helper()
	resp, got := ask(t, i, "GET", target, "")
	if got != want {
		t.Errorf("%s: %q, want %q", target, got, want)
	}
	return resp
}

func TestInstancesOfADeploymentShareTheirData(t *testing.T) {
	dir := t.TempDir()
	start := sharing(t, openCache(t, dir).Data())
	a, b, other := start("dpl_a"), start("dpl_a"), start("dpl_b")

	expect(t, a, "none", "/get?key=k")
	expect(t, a, "ok", "/set?key=k&text=1&tag=x,y")
	expect(t, a, "60 x,y 1", "/get?key=k")
	expect(t, b, "60 x,y 1", "/get?key=k")
	expect(t, other, "none", "/get?key=k")
	expect(t, b, "none", "/fetch?key=k&text=fetched&tag=x")
	expect(t, a, "fresh fetched", "/fetch?key=k")
	expect(t, other, "none", "/fetch?key=k")

	expect(t, other, "ok", "/revalidate?tag=x")
	expect(t, b, "60 x,y 1", "/get?key=k")
	if resp := expect(t, a, "ok", "/revalidate?tag=x&expire=60"); resp.Header.Get("X-Lateen-Purge") != "" {
		t.Errorf("the platform is told again: %v", resp.Header)
	}
	expect(t, b, "-1 x,y 1", "/get?key=k")
	expect(t, b, "stale fetched", "/fetch?key=k")
	expect(t, b, "ok", "/revalidate?tag=y")
	expect(t, a, "none", "/get?key=k")
	expect(t, a, "stale fetched", "/fetch?key=k")
	expect(t, a, "ok", "/set?key=k&text=2&tag=x")
	expect(t, b, "60 x 2", "/get?key=k")
	expect(t, a, "60 x 2", "/get?key=k&tag=y") // invalidated before
	expect(t, b, "ok", "/revalidate?tag=page")
	expect(t, a, "none", "/get?key=k&tag=page") // a tag of its page
	expect(t, a, "60 x 2", "/get?key=k&tag=soft")

	expect(t, a, "none", "/action?key=k&text=3&tag=x")
	expect(t, b, "60 x 3", "/get?key=k")

	// Another process of the platform finds the values, and the invalidations.
	expect(t, a, "ok", "/set?key=gone&text=1&tag=z")
	expect(t, a, "ok", "/revalidate?tag=z")
	restarted := sharing(t, openCache(t, dir).Data())("dpl_a")
	expect(t, restarted, "60 x 3", "/get?key=k")
	expect(t, restarted, "none", "/get?key=gone")
}

func TestAValueThatWasInvalidatedWhileItWasComputedIsNotStored(t *testing.T) {
	start := sharing(t, openCache(t, t.TempDir()).Data())
	a, b := start("dpl_a"), start("dpl_a")
	for _, tag := range []string{"x", "unrelated"} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "/late?tag=x&text=old&key="+tag, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := a.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := resp.Body.Read(make([]byte, 5)); err != nil {
			t.Fatal(err)
		}
		expect(t, b, "ok", "/revalidate?tag="+tag)
		expect(t, a, "ok", "/release")
		if _, err := resp.Body.Read(make([]byte, 1)); err == nil {
			t.Error("the response goes on")
		}
		resp.Body.Close()
	}
	for _, i := range []engine.Instance{a, b} {
		expect(t, i, "none", "/get?key=x")
		expect(t, i, "none", "/fetch?key=x")
		expect(t, i, "60 x old", "/get?key=unrelated")
		expect(t, i, "fresh old", "/fetch?key=unrelated")
	}
}

func TestOnlyCompleteValuesWithinTheLimitsAreShared(t *testing.T) {
	start := sharing(t, openCache(t, t.TempDir()).Data())
	a, b := start("dpl_a"), start("dpl_a")
	expect(t, a, "ok", "/cut?key=cut")
	expect(t, a, "ok", "/large?key=large")
	expect(t, a, "ok", "/set?key=tag&text=1&tag="+strings.Repeat("t", datacache.MaxTag+1))
	expect(t, a, "ok", "/set?key=tags&text=1&tag="+strings.Repeat("t,", datacache.MaxTags)+"t")
	for _, key := range []string{"cut", "large", "tag", "tags"} {
		expect(t, b, "none", "/get?key="+key)
		expect(t, a, "none", "/get?key="+key)
	}
	expect(t, a, "ok", "/big?key=big&text=b")
	expect(t, b, "1048580", "/size?key=big")
	expect(t, a, "ok", "/many?key=n&text=v")
	expect(t, b, "200", "/all?key=n")
}

// failing is a data cache that fails while it is set.
type failing struct {
	datacache.Cache

	err  error
	hold chan struct{} // delays values until it is closed
	ids  []string      // of invalidations
}

func (f *failing) Get(ctx context.Context, o datacache.Owner, key string, soft []string) (datacache.Value, error) {
	if f.err != nil {
		return datacache.Value{}, f.err
	}
	return f.Cache.Get(ctx, o, key, soft)
}

func (f *failing) Put(ctx context.Context, o datacache.Owner, key string, v datacache.Item) (bool, error) {
	if f.hold != nil {
		<-f.hold
	}
	if f.err != nil {
		return false, f.err
	}
	return f.Cache.Put(ctx, o, key, v)
}

func (f *failing) Invalidate(ctx context.Context, o datacache.Owner, v datacache.Invalidation) error {
	f.ids = append(f.ids, v.ID)
	if f.err != nil {
		return f.err
	}
	return f.Cache.Invalidate(ctx, o, v)
}

func TestAnInstanceCachesInItsMemoryWhileThePlatformDoesNot(t *testing.T) {
	f := &failing{Cache: openCache(t, t.TempDir()).Data(), err: errors.New("no disk")}
	start := sharing(t, f)
	a, b := start("dpl_a"), start("dpl_a")
	expect(t, a, "ok", "/set?key=k&text=1&tag=x")
	expect(t, a, "60 x 1", "/get?key=k")
	expect(t, b, "none", "/get?key=k")
	if resp := expect(t, a, "ok", "/revalidate?tag=x"); resp.Header.Get("X-Lateen-Purge") != "tag=x&expire=0" {
		t.Errorf("the platform is not told: %v", resp.Header)
	}
	expect(t, a, "none", "/get?key=k")
	f.err = nil
	expect(t, a, "ok", "/set?key=k&text=2&tag=x")
	expect(t, b, "60 x 2", "/get?key=k")
}

func TestTheTwoCopiesOfAnInvalidationHaveOneID(t *testing.T) {
	f := &failing{Cache: openCache(t, t.TempDir()).Data(), err: errors.New("no disk")}
	a := sharing(t, f)("dpl_a")
	ids := map[string]bool{}
	for n := range 3 {
		resp, _ := ask(t, a, "GET", "/revalidate?tag=x", "", "X-Invocation-Id", "req_1")
		form, err := url.ParseQuery(resp.Header.Get("X-Lateen-Purge"))
		if id := form.Get("id"); err != nil || !strings.HasPrefix(id, "req_1 ") || len(f.ids) != n+1 || f.ids[n] != id {
			t.Errorf("the header has the ID %q, and the data cache got %q: %v", id, f.ids, err)
		}
		ids[form.Get("id")] = true
	}
	if len(ids) != 3 {
		t.Errorf("three invalidations have the IDs %v", ids)
	}
}

// Next.js passes a value on until it is told that the cache has it, even to renders that
// begin after an invalidation of the value.
func TestAValueIsCollectedBeforeItIsStored(t *testing.T) {
	f := &failing{Cache: openCache(t, t.TempDir()).Data(), hold: make(chan struct{})}
	start := sharing(t, f)
	a, b := start("dpl_a"), start("dpl_a")
	expect(t, a, "collected", "/collect?key=k&text=1&tag=x")
	expect(t, b, "none", "/get?key=k")
	close(f.hold)
	expect(t, a, "60 x 1", "/get?key=k")
	expect(t, b, "60 x 1", "/get?key=k")
}

func TestAReadWithTooManyTagsFindsNothing(t *testing.T) {
	start := sharing(t, openCache(t, t.TempDir()).Data())
	i := start("dpl_a")
	expect(t, i, "ok", "/set?key=k&text=value")
	for _, tags := range []string{"2000", "50000"} { // past the limit of tags, and that of a frame
		expect(t, i, "ok", "/tags?key=k&text="+tags)
	}
	expect(t, i, "60  value", "/get?key=k")
}
