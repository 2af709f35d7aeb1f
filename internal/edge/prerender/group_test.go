package prerender_test

import (
	"fmt"
	"io"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lateen-dev/lateen"
)

// twins deploys a document and its data as one group, with and without parameters.
func twins(p *pageStage) {
	page := lateen.Prerender{Group: 1, Expiration: new(10), AllowQuery: []string{"slug"}, AllowHeader: []string{"x-prerender-revalidate"}}
	p.page("/posts/[slug]", "", page)
	p.page("/data/posts/[slug].json", "", page)
	page = lateen.Prerender{Group: 2, Expiration: new(10), AllowQuery: []string{}}
	p.page("/isr", "built", page)
	p.page("/isr.json", "built", page)
	p.site.Manifest.Routes = []lateen.Route{
		{Handle: "rewrite"},
		{Src: `^/posts/(?<slug>[^/]+?)(?:/)?$`, Dest: "/posts/[slug]?slug=$slug", Check: true},
		{Src: `^/data/posts/(?<slug>[^/]+?)\.json$`, Dest: "/data/posts/[slug].json?slug=$slug", Check: true},
		{Handle: "hit"},
		{Src: "^/data/(.*)$", Headers: map[string]string{"x-matched-path": "/$1"}, Important: true, Continue: true},
	}
}

// rendered answers with the number of the first call that had the invocation ID of the
// request, as a framework answers with several forms of one page from one rendering.
func rendered() func(r *http.Request, n int) *http.Response {
	var mu sync.Mutex
	made := map[string]int{}
	return func(r *http.Request, n int) *http.Response {
		mu.Lock()
		defer mu.Unlock()
		id := r.Header.Get("X-Invocation-Id")
		if made[id] == 0 {
			made[id] = n
		}
		return reply(200, fmt.Sprintf("%s of %d for %s", r.Header.Get("X-Matched-Path"), made[id], r.Header.Get("X-Now-Route-Matches")))
	}
}

func TestOneCacheFillFillsAGroupOfPages(t *testing.T) {
	withPages(t, twins, func(p *pageStage) {
		p.answer = rendered()
		p.want("MISS (cold): /posts/[slug] of 1 for slug=a", "/posts/a")
		p.want("HIT: /posts/[slug].json of 1 for slug=a", "/data/posts/a.json")
		p.want("MISS (cold): /posts/[slug].json of 3 for slug=b", "/data/posts/b.json")
		p.want("HIT: /posts/[slug] of 3 for slug=b", "/posts/b")
		if path := p.last().URL.Path; path != "/posts/[slug]" {
			t.Errorf("the document was requested at %s", path)
		}
		p.pass(10 * time.Second)
		p.want("STALE (stale_time): /posts/[slug] of 1 for slug=a", "/posts/a")
		p.want("HIT: /posts/[slug].json of 5 for slug=a", "/data/posts/a.json")
		p.want("HIT: /posts/[slug] of 5 for slug=a", "/posts/a")
		p.want("PRERENDER (stale_time): built", "/isr")
		p.want("HIT: /isr.json of 7 for ", "/isr.json")
		if n := p.called(); n != 8 {
			t.Errorf("%d calls", n)
		}
	})
}

func TestARequestedRefreshRefreshesTheGroup(t *testing.T) {
	withPages(t, twins, func(p *pageStage) {
		p.answer = rendered()
		p.want("MISS (cold): /posts/[slug] of 1 for slug=a", "/posts/a")
		p.want("REVALIDATED: /posts/[slug] of 3 for slug=a", "/posts/a", "X-Prerender-Revalidate: "+token)
		p.want("HIT: /posts/[slug].json of 3 for slug=a", "/data/posts/a.json")
	})
}

// A request for the data during the cache fill of the document gets the data of that
// fill.
func TestARequestForDataWaitsForTheFillOfItsGroup(t *testing.T) {
	withPages(t, twins, func(p *pageStage) {
		release, answer := make(chan struct{}), rendered()
		p.answer = func(r *http.Request, n int) *http.Response { <-release; return answer(r, n) }
		got := make(chan string, 2)
		for _, path := range []string{"/posts/a", "/data/posts/a.json"} {
			go func() {
				resp := p.send("GET", path)
				body, _ := io.ReadAll(resp.Body)
				got <- resp.Header.Get("X-Vercel-Cache") + " " + string(body)
			}()
			synctest.Wait()
		}
		close(release)
		one, other := <-got, <-got
		if one > other {
			one, other = other, one
		}
		if one != "HIT /posts/[slug].json of 1 for slug=a" || other != "MISS /posts/[slug] of 1 for slug=a" || p.called() != 2 {
			t.Errorf("%d calls: %q, %q", p.called(), one, other)
		}
	})
}
