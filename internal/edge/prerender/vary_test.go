package prerender_test

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lateen-dev/lateen"
)

// varyOf returns the Vary of a response as one list.
func varyOf(h http.Header) string { return strings.Join(h["Vary"], ", ") }

func TestACachedPageHasTheVaryOfItsRoutes(t *testing.T) { // RFC 9110 §12.5.5
	withPages(t, func(p *pageStage) {
		p.site.Manifest.Routes = []lateen.Route{
			{Src: "/.*", Continue: true, Headers: map[string]string{"vary": "x-theme, accept-encoding"}},
			{Src: "/.*", Continue: true, Headers: map[string]string{"vary": "X-Theme, Cookie"}},
		}
		p.page("/isr", "", lateen.Prerender{Expiration: new(10)})
		p.answer = func(*http.Request, int) *http.Response {
			return reply(200, strings.Repeat("long enough ", 200), "Vary: rsc")
		}
	}, func(p *pageStage) {
		for _, label := range []string{"MISS", "HIT", "STALE"} {
			if label == "STALE" {
				p.pass(11 * time.Second)
			}
			synctest.Wait() // wait until the earlier page is cached
			resp := p.send("GET", "/isr", "Accept-Encoding: br")
			has(t, resp.Header, "X-Vercel-Cache", label)
			if got := varyOf(resp.Header); got != "rsc, x-theme, accept-encoding, Cookie" || resp.Header.Get("Content-Encoding") != "br" {
				t.Errorf("%s: Vary: %s, %v", label, got, resp.Header)
			}
			etag := resp.Header.Get("Etag")
			if label != "HIT" {
				continue
			}
			resp = p.send("GET", "/isr", "Accept-Encoding: br", "If-None-Match: "+etag)
			if resp.StatusCode != 304 || resp.Header.Get("Etag") != etag || varyOf(resp.Header) != "rsc, x-theme, accept-encoding, Cookie" || resp.Header["Content-Encoding"] != nil || resp.Header["Content-Type"] != nil {
				t.Errorf("%d %v", resp.StatusCode, resp.Header)
			}
		}
	})
}

func TestACachedPageWithNoTransformIsNotCompressed(t *testing.T) { // RFC 9111 §5.2.2.6
	for name, c := range map[string]struct{ own, byRoute string }{
		"by the function": {own: "s-maxage=60, no-transform"},
		"by a route":      {own: "s-maxage=60", byRoute: "public, no-transform"},
	} {
		t.Run(name, func(t *testing.T) {
			withPages(t, func(p *pageStage) {
				if c.byRoute != "" {
					p.site.Manifest.Routes = []lateen.Route{{Src: "/.*", Continue: true, Important: true, Headers: map[string]string{"cache-control": c.byRoute}}}
				}
				p.page("/isr", "", lateen.Prerender{})
				p.answer = func(*http.Request, int) *http.Response {
					return reply(200, strings.Repeat("long enough ", 200), "Cache-Control: "+c.own)
				}
			}, func(p *pageStage) {
				for _, label := range []string{"MISS", "HIT"} {
					synctest.Wait() // wait until the earlier page is cached
					resp := p.send("GET", "/isr", "Accept-Encoding: br, gzip")
					has(t, resp.Header, "X-Vercel-Cache", label)
					if resp.Header["Content-Encoding"] != nil || !strings.Contains(resp.Header.Get("Cache-Control"), "no-transform") {
						t.Errorf("%s: %v", label, resp.Header)
					}
				}
			})
		})
	}
}
