package local

import (
	"strconv"
	"testing"
	"time"
)

// useCache uses the handlers of 'use cache' in the way of Next.js.
const useCache = `const { DefaultCache, RemoteCache } = globalThis[Symbol.for('@next/cache-handlers')];
module.exports = async (req, res) => {
  const { pathname, searchParams } = new URL(req.url, 'http://x');
  const { key, text, tag, age = 0, expire = 3600 } = Object.fromEntries(searchParams);
  const tags = tag?.split(',') ?? [];
  switch (pathname) {
    case '/set':
      await DefaultCache.set(key, Promise.resolve({ value: new Response(text).body, tags, stale: 0,
        timestamp: performance.timeOrigin + performance.now() - age * 1000, expire: Number(expire), revalidate: 60 }));
      break;
    case '/fail':
      await DefaultCache.set(key, Promise.reject(new Error('not rendered')));
      break;
    case '/get': {
      const entry = await RemoteCache.get(key, tags);
      return res.end(entry ? entry.revalidate + ' ' + await new Response(entry.value).text() : 'none');
    }
    case '/expire':
      await DefaultCache.updateTags(tags);
      break;
    case '/stale':
      await DefaultCache.updateTags(tags, { expire: 3600 });
      break;
    case '/expire-15': // as Next.js 15 does
      await DefaultCache.expireTags(...tags);
  }
  res.end('ok');
};
`

func TestUseCacheEntriesAreInvalidatedByTagsAndByOtherInstances(t *testing.T) {
	i := alone(t, "nodejs24.x", useCache, nil)
	get := func(want, target string, header ...string) {
		t.Helper()
		if _, got := ask(t, i, "GET", target, "", header...); got != want {
			t.Errorf("%s %v: %q, want %q", target, header, got, want)
		}
	}
	get("none", "/get?key=a")
	get("ok", "/set?key=a&text=1&tag=x")
	get("60 1", "/get?key=a")
	get("60 1", "/get?key=a") // each read has another stream

	get("ok", "/stale?tag=x")
	get("-1 1", "/get?key=a") // Next.js regenerates it after the response
	get("ok", "/expire?tag=x")
	get("none", "/get?key=a")

	get("ok", "/set?key=a&text=1&tag=x,y")
	get("ok", "/expire-15?tag=w,y")
	get("none", "/get?key=a")

	get("ok", "/set?key=b&text=2")
	get("ok", "/expire?tag=soft")
	get("none", "/get?key=b&tag=soft") // a tag of its path
	get("60 2", "/get?key=b")
	get("none", "/get?key=b", "X-Lateen-Invalidated", strconv.FormatInt(time.Now().Add(time.Minute).UnixMilli(), 10)) // by any instance

	get("ok", "/set?key=c&text=3&age=10&expire=5")
	get("none", "/get?key=c")
	get("ok", "/set?key=c&text=3&expire=0")
	get("none", "/get?key=c")
	get("ok", "/set?key=d&text=4")
	get("ok", "/fail?key=d")
	get("60 4", "/get?key=d")

	get("ok", "/set?key=e&text=5&tag=z&age=-5") // Next.js' clock is ahead
	get("60 5", "/get?key=e")
	get("ok", "/expire?tag=z")
	get("none", "/get?key=e")
}

// partialPages sends pages to the platform in the way of Next.js with partial
// prerendering.
const partialPages = `module.exports = (req, res) => res.end('without metadata');
module.exports.getRequestHandlerWithMetadata = (metadata) => async (req, res) => {
  const entry = (postponed) => ({
    value: { kind: 'APP_PAGE', postponed, status: 404, headers: { 'x-next-cache-tags': 'a,b', 'x-none': undefined }, html: { toUnchunkedString: async () => '<html>' } },
    cacheControl: { revalidate: 60, expire: 3600 },
  });
  if (req.url.startsWith('/whole')) {
    if (await metadata.onCacheEntryV2(entry(undefined))) throw new Error('it is whole');
    return res.end('whole');
  }
  metadata.isRSCRequest = req.url.endsWith('.rsc');
  const callback = req.url.startsWith('/first') ? metadata.onCacheEntry : metadata.onCacheEntryV2;
  if (!await callback(entry('{"of": "ü"}'))) res.end('left to Next.js');
};
`

func TestAPageWithPostponedPartsIsReturnedWithItsState(t *testing.T) {
	i := alone(t, "nodejs24.x", partialPages, nil)
	resp, body := ask(t, i, "GET", "/page", "")
	h := resp.Header
	if body != `{"of": "ü"}<html>` || resp.StatusCode != 404 || h.Get("X-Next-Cache-Tags") != "a,b" ||
		h.Get("Content-Type") != `application/x-nextjs-pre-render; state-length=12; origin="text/html; charset=utf-8"` ||
		h.Get("Cache-Control") != "s-maxage=60, stale-while-revalidate=3540" {
		t.Errorf("page: %d %q %v", resp.StatusCode, body, h)
	}
	resp, body = ask(t, i, "GET", "/page.rsc", "")
	if body != `{"of": "ü"}` || resp.Header.Get("Content-Type") != `application/x-nextjs-pre-render; state-length=12; origin="text/x-component"` {
		t.Errorf("data: %q %v", body, resp.Header)
	}
	for target, want := range map[string]string{"/whole": "whole", "/first": `{"of": "ü"}<html>`, "/first.rsc": "left to Next.js"} {
		if _, got := ask(t, i, "GET", target, ""); got != want {
			t.Errorf("%s: %q, want %q", target, got, want)
		}
	}
}
