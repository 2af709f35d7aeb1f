package edge

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/cache"
	"github.com/lateen-dev/lateen/internal/edge/call"
	"github.com/lateen-dev/lateen/internal/edge/site"
	"github.com/lateen-dev/lateen/internal/route"
)

func TestACachedPageDependsOnlyOnAllowedParts(t *testing.T) {
	withPages(t, func(p *pageStage) {
		p.page("/none", "", lateen.Prerender{AllowQuery: []string{}})
		p.page("/some", "", lateen.Prerender{AllowQuery: []string{"a", "b"}, PassQuery: true, AllowHeader: []string{"x-lang", "Cookie", "host"}})
		p.page("/all", "", lateen.Prerender{PassQuery: true})
	}, func(p *pageStage) {
		p.want("MISS (cold): call 1", "/none?a=1")
		p.want("HIT: call 1", "/none?b=2", "X-Lang: de")
		p.want("MISS (cold): call 2", "/some")
		p.want("HIT: call 2", "/some?c=3", "Cookie: a=b")
		p.want("MISS (cold): call 3", "/some?a=1&b=2")
		p.want("HIT: call 3", "/some?b=2&x&a=1")
		p.want("MISS (cold): call 4", "/some?a=1&b=2", "X-Lang: de")
		p.want("MISS (cold): call 5", "/some?a=1&b=2", "Host: www.example.com")
		p.want("MISS (cold): call 6", "/all?x=1")
		p.want("MISS (cold): call 7", "/all?x=2")
		p.want("MISS (cold): call 8", "/all?x")
		p.want("MISS (cold): call 9", "/all?x=")
		p.want("HIT: call 6", "/all?x=1")

		// The fields of a requested refresh do not select another page.
		p.page("/next", "", lateen.Prerender{AllowQuery: []string{}, AllowHeader: []string{"x-prerender-revalidate", "x-matched-path", "x-next-revalidated-tags"}})
		p.edge.sites.Forget("dpl_1")
		p.want("MISS (cold): call 10", "/next")
		p.want("HIT: call 10", "/next", "X-Prerender-Revalidate: guess", "X-Matched-Path: /evil", "X-Next-Revalidated-Tags: a")
	})
}

func TestACacheFillHasNoFieldsOfTheClient(t *testing.T) {
	withPages(t, func(p *pageStage) {
		p.page("/posts/[slug]", "", lateen.Prerender{AllowQuery: []string{"slug"}, AllowHeader: []string{"host", "x-lang", "authorization"}})
		p.page("/passed", "", lateen.Prerender{AllowQuery: []string{"slug"}, PassQuery: true})
		p.site.Manifest.Routes = []lateen.Route{{Handle: "rewrite"}, {Src: `^/posts/(?<slug>[^/]+?)(?:/)?$`, Dest: "/posts/[slug]?slug=$slug", Check: true}}
	}, func(p *pageStage) {
		client := []string{"Cookie: session=1", "Authorization: Bearer x", "X-Lang: de", "User-Agent: me", "Accept-Encoding: gzip", "X-Vercel-Sc-Host: evil", "X-Now-Route-Matches: slug=evil"}
		p.get("/posts/a%20b?utm=1", client...)
		r := p.last()
		if r.Method != "GET" || r.URL.RawQuery != "" || r.Host != "app.localhost" {
			t.Errorf("got %s %s for the host %s", r.Method, r.URL, r.Host)
		}
		if got := r.URL.Path; got != "/posts/[slug]" {
			t.Errorf("the path is %s", got)
		}
		if got := r.Header.Get("X-Now-Route-Matches"); got != "slug=a%20b" {
			t.Errorf("the matches are %q", got)
		}
		if got := r.Header.Get("X-Matched-Path"); got != "/posts/[slug]" {
			t.Errorf("the matched path is %q", got)
		}
		if r.Header.Get("X-Lang") != "de" {
			t.Error("an allowed header is missing")
		}
		for _, name := range []string{"Cookie", "Authorization", "User-Agent", "Accept-Encoding", "X-Vercel-Sc-Host"} {
			if r.Header.Get(name) != "" {
				t.Errorf("%s is %q", name, r.Header.Get(name))
			}
		}
		for name, values := range r.Header {
			if strings.Contains(strings.Join(values, ""), "192.0.2.1") {
				t.Errorf("the field %s of the client arrived: %q", name, values)
			}
		}
		p.get("/passed?utm=1&slug=x")
		if r := p.last(); r.URL.RawQuery != "slug=x" || r.Header["X-Now-Route-Matches"] != nil {
			t.Errorf("got %s with the matches %q", r.URL, r.Header["X-Now-Route-Matches"])
		}
	})
}

// Framework adapters take the page's path from the query only in requests with
// x-vercel-isr.
func TestXVercelISRMarksRequestsForCachedPages(t *testing.T) {
	withPages(t, func(p *pageStage) {
		p.page("/isr", "", lateen.Prerender{})
	}, func(p *pageStage) {
		p.get("/isr", "X-Vercel-Isr: 2")
		has(t, p.last().Header, "X-Vercel-Isr", "1")
		p.send("POST", "/isr")
		has(t, p.last().Header, "X-Vercel-Isr", "1")
	})
}

// Nitro reads a capture from the matches and fails if it occurs twice.
func TestACaptureOccursOnceInTheMatches(t *testing.T) {
	withPages(t, func(p *pageStage) {
		p.page("/isr-isr", "", lateen.Prerender{})
		p.site.Manifest.Routes = []lateen.Route{{Src: `^(?<__isr_route>/isr)$`, Dest: "/isr-isr?__isr_route=$__isr_route"}}
	}, func(p *pageStage) {
		p.want("MISS (cold): call 1", "/isr")
		if got := p.last().Header.Get("X-Now-Route-Matches"); got != "1=%2Fisr&__isr_route=%2Fisr" {
			t.Errorf("the matches are %q", got)
		}
		p.want("HIT: call 1", "/isr?__isr_route=%2Fevil")
		p.want("HIT: call 1", "/isr?%5F_isr_route=/evil")
		p.want("MISS (cold): call 2", "/isr?x=1&__isr_route=/evil")
		if got := p.last().Header.Get("X-Now-Route-Matches"); got != "1=%2Fisr&__isr_route=%2Fisr&x=1" {
			t.Errorf("with a parameter the matches are %q", got)
		}
	})
}

func TestHostileParametersAreHarmless(t *testing.T) {
	for _, query := range []string{"slug=%", "slug=a%0d%0aX-Evil:1", "slug=\xff\xfe", "%zz=1&slug=b", "slug=a;b", strings.Repeat("slug=x&", 500), "slug=ü"} {
		got := allowedParams(query, []string{"slug"})
		for _, c := range []byte(got) {
			if c <= ' ' || c >= 0x7f {
				t.Errorf("%q became %q", query, got)
				break
			}
		}
		if strings.Contains(got, "zz") {
			t.Errorf("%q became %q", query, got)
		}
	}
	if a, b := allowedParams("b=2&a=1&a=0", nil), allowedParams("a=1&b=2&a=0", nil); a != b || a != "a=1&a=0&b=2" {
		t.Errorf("got %q and %q", a, b)
	}
}

// The function gets the request as the middleware has changed it, and the page depends
// on that.
func TestACachedPageDependsOnFieldsOfMiddleware(t *testing.T) {
	k := &call.Call{Client: call.Client{Proto: "https", Host: "a.example"}}
	p := &lateen.Prerender{AllowHeader: []string{"x-lang"}}
	plain := variantOf(k, &route.Decision{RequestHeader: http.Header{"X-Lang": {"de"}}}, p)
	changed := variantOf(k, &route.Decision{RequestHeader: http.Header{"X-Lang": {"fr"}}}, p)
	if plain.header.Get("X-Lang") != "de" || changed.header.Get("X-Lang") != "fr" || plain.key(aSite(), "/") == changed.key(aSite(), "/") {
		t.Errorf("got %+v and %+v", plain, changed)
	}
}

// The key has every part of the request that the function gets; the name of the group
// has all of them except the origin and the path.
func TestCacheKeysCoverEverythingAFunctionGets(t *testing.T) {
	base := variant{origin: "https://a.example", path: "/p", query: "a=1", matches: "b=2", header: http.Header{"X": {"1"}}}
	keys, groups := map[cache.Key]bool{}, map[string]int{}
	for _, change := range []func(a *variant){
		func(*variant) {},
		func(a *variant) { a.origin = "http://a.example" },
		func(a *variant) { a.origin = "https://b.example" },
		func(a *variant) { a.path = "/q" },
		func(a *variant) { a.query = "a=2" },
		func(a *variant) { a.query, a.matches = "a=1b=2", "" },
		func(a *variant) { a.header = http.Header{"X": {"2"}} },
		func(a *variant) { a.header = http.Header{"X": {"1"}, "Y": {""}} },
		func(a *variant) { a.header = nil },
	} {
		a := base
		change(&a)
		keys[a.key(aSite(), "/o")] = true
		groups[a.group(1, "/o")]++
	}
	if len(keys) != 9 || len(groups) != 6 || groups[base.group(1, "/other")] != 4 {
		t.Errorf("%d keys, groups %v", len(keys), groups)
	}
}

func aSite() *site.Site { return &site.Site{Site: lateen.Site{Project: "prj_1", Deployment: "dpl_1"}} }

func FuzzAllowedParams(f *testing.F) {
	f.Add("b=2&a=1&a=0&%61=3&x")
	f.Fuzz(func(t *testing.T, query string) {
		got := allowedParams(query, []string{"a", "b"})
		for _, c := range []byte(got) {
			if c <= ' ' || c >= 0x7f {
				t.Fatalf("%q became %q", query, got)
			}
		}
		if again := allowedParams(got, []string{"a", "b"}); again != got {
			t.Errorf("%q became %q and then %q", query, got, again)
		}
	})
}

func TestSpellingsOfAHostShareOnePage(t *testing.T) {
	withPages(t, func(p *pageStage) {
		p.page("/cold", "", lateen.Prerender{})
	}, func(p *pageStage) {
		p.get("/cold", "Host: app.localhost")
		synctest.Wait()
		for _, host := range []string{"APP.localhost", "app.localhost.", "app.localhost:80", "app.localhost:080", "app.localhost:", "app.localhost:8080", "app.localhost:9"} {
			p.want("HIT: call 1", "/cold", "Host: "+host)
		}
		if host := p.last().Header.Get("X-Forwarded-Host"); host != "app.localhost" {
			t.Errorf("the cache fill has the host %q", host)
		}
	})
	withPages(t, func(p *pageStage) {
		p.port = "8443"
		p.page("/cold", "", lateen.Prerender{})
	}, func(p *pageStage) {
		p.get("/cold", "Host: App.localhost:9")
		if host := p.last().Header.Get("X-Forwarded-Host"); host != "app.localhost:8443" {
			t.Errorf("with a port in the URLs of sites, the cache fill has the host %q", host)
		}
		p.want("HIT: call 1", "/cold", "Host: app.localhost:8443")
	})
}
