package prerender_test

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/cache"
	"github.com/lateen-dev/lateen/internal/datacache"
)

// clockPages deploys a page with the tags clock and _N_T_/isr, one with neither, and a
// function that purges the tags in its query.
func clockPages(p *pageStage) {
	tags := &lateen.Fallback{Headers: map[string]string{"x-next-cache-tags": "_N_T_/isr,clock"}}
	p.page("/isr", "built", lateen.Prerender{AllowQuery: []string{}, Fallback: tags})
	p.page("/other", "built", lateen.Prerender{AllowQuery: []string{}})
	p.site.Manifest.Outputs["/api/purge"] = "/fn"
	p.answer = func(r *http.Request, n int) *http.Response {
		if r.URL.Path == "/api/purge" {
			return reply(200, "purged", "X-Lateen-Purge: "+r.URL.RawQuery)
		}
		return reply(200, fmt.Sprint("call ", n), "X-Next-Cache-Tags: _N_T_/isr,clock", "Vercel-Cache-Tag: generic")
	}
}

func TestAFunctionInvalidatesByTag(t *testing.T) {
	for query, want := range map[string]string{
		"tag=clock&expire=0":           "REVALIDATED (stale_tag): call 2",
		"tag=a&tag=clock&expire=0":     "REVALIDATED (stale_tag): call 2",
		"tag=_N_T_%2Fisr&expire=0":     "REVALIDATED (stale_tag): call 2",
		"tag=clock":                    "STALE (stale_tag): built",
		"tag=clock&expire=3600":        "STALE (stale_tag): built",
		"tag=clock&expire=31536000.5":  "STALE (stale_tag): built",
		"tag=clock&expire=nonsense":    "REVALIDATED (stale_tag): call 2",
		"tag=clock&expire=-1":          "REVALIDATED (stale_tag): call 2",
		"tag=cloc":                     "HIT: built",
		"expire=0":                     "HIT: built",
		"%zz":                          "HIT: built",
		strings.Repeat("tag=x&", 5000): "HIT: built",
	} {
		name := query[:min(len(query), 30)]
		t.Run(name, func(t *testing.T) {
			withPages(t, clockPages, func(p *pageStage) {
				p.want("PRERENDER: built", "/isr")
				p.want("PRERENDER: built", "/other")
				time.Sleep(time.Second)
				resp := p.send("GET", "/api/purge?"+query)
				if resp.StatusCode != 200 || resp.Header["X-Lateen-Purge"] != nil {
					t.Errorf("the client got %d %q", resp.StatusCode, resp.Header["X-Lateen-Purge"])
				}
				time.Sleep(time.Nanosecond)
				p.want(want, "/isr")
				p.want("HIT: built", "/other")
				synctest.Wait()
				if want != "HIT: built" {
					p.want("HIT: call 2", "/isr")
				}
			})
		})
	}
}

func TestInvalidationsReachEveryHostAndSurviveARestart(t *testing.T) {
	withPages(t, clockPages, func(p *pageStage) {
		page := p.site.Manifest.Prerenders["/isr"]
		page.AllowHeader = []string{"host"}
		p.site.Manifest.Prerenders["/isr"] = page
		p.want("PRERENDER: built", "/isr")
		p.want("PRERENDER: built", "/isr", "Host: www.example.com")
		time.Sleep(time.Second)
		p.send("GET", "/api/purge?tag=clock&expire=0")
		p.stop()
		p.open()
		p.want("REVALIDATED (stale_tag): call 2", "/isr")
		p.want("REVALIDATED (stale_tag): call 3", "/isr", "Host: www.example.com")
		p.want("HIT: call 2", "/isr")
	})
}

// A function sends an invalidation to the data cache and in the header of its response,
// and either may arrive first.
func TestTheCopyOfAnInvalidationKeepsWhatWasStoredMeanwhile(t *testing.T) {
	owner := datacache.Owner{Project: "prj_1", Deployment: "dpl_1"}
	send := map[string]func(*pageStage){
		"header": func(p *pageStage) { p.send("GET", "/api/purge?tag=clock&expire=0&id=1") },
		"data cache": func(p *pageStage) {
			if err := p.cache.Data().Invalidate(t.Context(), owner, datacache.Invalidation{Tags: []string{"clock"}, ID: "1"}); err != nil {
				t.Fatal(err)
			}
		},
	}
	for first, last := range map[string]string{"header": "data cache", "data cache": "header"} {
		t.Run(first+" first", func(t *testing.T) {
			withPages(t, clockPages, func(p *pageStage) {
				p.want("PRERENDER: built", "/isr")
				time.Sleep(time.Second)
				send[first](p)
				n := p.called() + 1
				p.want(fmt.Sprint("REVALIDATED (stale_tag): call ", n), "/isr")
				time.Sleep(time.Second)
				send[last](p)
				p.want(fmt.Sprint("HIT: call ", n), "/isr")
				n = p.called() + 2
				p.send("GET", "/api/purge?tag=clock&expire=0&id=2")
				p.want(fmt.Sprint("REVALIDATED (stale_tag): call ", n), "/isr")
			})
		})
	}
}

func TestAnInvalidationIsForOneDeployment(t *testing.T) {
	withPages(t, clockPages, func(p *pageStage) {
		p.want("PRERENDER: built", "/isr")
		time.Sleep(time.Second)
		if err := p.cache.Invalidate([]string{"dpl_2"}, []string{"clock"}, 0); err != nil {
			t.Fatal(err)
		}
		p.want("HIT: built", "/isr")
		if err := p.cache.Invalidate([]string{"dpl_1"}, []string{"clock"}, cache.Soft); err != nil {
			t.Fatal(err)
		}
		p.want("STALE (stale_tag): built", "/isr")
	})
}

func TestExpiredPagesAreRenderedAgain(t *testing.T) {
	withPages(t, clockPages, func(p *pageStage) {
		p.want("PRERENDER: built", "/isr")
		time.Sleep(time.Second)
		if err := p.cache.ExpireData([]string{"dpl_1"}); err != nil {
			t.Fatal(err)
		}
		p.want("HIT: built", "/isr")
		if err := p.cache.ExpirePages([]string{"dpl_1"}); err != nil {
			t.Fatal(err)
		}
		p.want("REVALIDATED (stale_tag): call 1", "/isr")
		p.want("HIT: call 1", "/isr")
	})
}

func TestTagsOfARegeneratedPageCount(t *testing.T) {
	withPages(t, func(p *pageStage) {
		clockPages(p)
		p.page("/new", "", lateen.Prerender{AllowQuery: []string{}})
	}, func(p *pageStage) {
		p.want("MISS (cold): call 1", "/new")
		for _, tag := range []string{"clock", "generic"} {
			time.Sleep(time.Second)
			p.send("GET", "/api/purge?expire=0&tag="+tag)
			n := p.called() + 1
			p.want(fmt.Sprint("REVALIDATED (stale_tag): call ", n), "/new")
		}
	})
}

// A server action that redirects fetches the target page before its own response has
// reported the invalidations.
func TestARequestWithTheTokenInvalidatesTags(t *testing.T) {
	withPages(t, clockPages, func(p *pageStage) {
		p.want("PRERENDER: built", "/isr")
		time.Sleep(time.Second)
		p.want("HIT: built", "/isr", "X-Next-Revalidated-Tags: clock", "X-Next-Revalidate-Tag-Token: wrong")
		p.want("HIT: built", "/isr", "X-Next-Revalidated-Tags: clock")
		p.want("REVALIDATED (stale_tag): call 1", "/isr", "X-Next-Revalidated-Tags: a,clock", "X-Next-Revalidate-Tag-Token: "+token)
	})
}

func TestAFunctionGetsTheTimeOfTheLastInvalidation(t *testing.T) {
	withPages(t, clockPages, func(p *pageStage) {
		p.send("GET", "/api/purge?tag=x", "X-Lateen-Invalidated: 1")
		if got := p.last().Header["X-Lateen-Invalidated"]; got != nil {
			t.Errorf("without an invalidation, the function got %q", got)
		}
		at := time.Now()
		time.Sleep(time.Minute)
		p.send("GET", "/api/purge")
		if diff := cmp.Diff([]string{strconv.FormatInt(at.UnixMilli(), 10)}, p.last().Header["X-Lateen-Invalidated"]); diff != "" {
			t.Error(diff)
		}
	})
}

// Next.js remembers a rendering under the ID of the invocation, so that two cache fills
// of one page must not share an ID.
func TestEveryCacheFillHasItsOwnInvocationID(t *testing.T) {
	withPages(t, clockPages, func(p *pageStage) {
		ids := map[string]bool{}
		for range 3 {
			p.get("/isr", "X-Prerender-Revalidate: "+token, "X-Invocation-Id: the client's")
			ids[p.last().Header.Get("X-Invocation-Id")] = true
		}
		if len(ids) != 3 || ids["the client's"] || ids[""] {
			t.Errorf("the invocations are %v", ids)
		}
	})
}
