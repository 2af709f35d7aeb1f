package local

import "testing"

// suspense uses the data cache in the way of Next.js 14.
const suspense = `const base = 'https://' + process.env.SUSPENSE_CACHE_URL + '/v1/suspense-cache/';
module.exports = async (req, res) => {
  const { pathname, searchParams } = new URL(req.url, 'http://x');
  const { key, text, tag = '' } = Object.fromEntries(searchParams);
  let answer;
  switch (pathname) {
    case '/set':
      answer = await fetch(base + key, { method: 'POST', headers: { 'x-vercel-cache-tags': tag },
        body: JSON.stringify({ kind: 'FETCH', data: { headers: {}, body: text, status: 200, url: '' }, revalidate: 60 }) });
      break;
    case '/get':
      answer = await fetch(base + key, { method: 'GET', headers: { 'x-next-cache-soft-tags': tag } });
      if (answer.ok) return res.end(answer.headers.get('x-vercel-cache-state') + ' ' + (await answer.json()).data.body);
      break;
    case '/revalidate':
      answer = await fetch(base + 'revalidate?tags=' + tag.split(',').map(encodeURIComponent), { method: 'POST', headers: {} });
  }
  res.end(String(answer.status));
};
`

func TestTheCacheOfNextjs14IsThatOfLaterVersions(t *testing.T) {
	i := aloneAs(t, "___next_launcher.cjs", "nodejs24.x", suspense, nil)
	get := func(want, target string) {
		t.Helper()
		if _, got := ask(t, i, "GET", target, ""); got != want {
			t.Errorf("%s: %q, want %q", target, got, want)
		}
	}
	get("404", "/get?key=a")
	get("200", "/set?key=a&text=1&tag=x")
	get("fresh 1", "/get?key=a")
	get("fresh 1", "/get?key=a&tag=/page")
	resp, _ := ask(t, i, "GET", "/revalidate?tag=w,x", "")
	if got := resp.Header.Get("X-Lateen-Purge"); got != "tag=w&tag=x&expire=0" {
		t.Errorf("purges: %q", got)
	}
	get("404", "/get?key=a")
}
