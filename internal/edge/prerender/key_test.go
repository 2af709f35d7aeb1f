package prerender_test

import (
	"strings"
	"testing"
	"testing/synctest"

	"github.com/lateen-dev/lateen"
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
		p.edge.Apply([]lateen.Event{{Type: lateen.DeploymentRemoved, Deployment: "dpl_1"}})
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
