package prerender_test

import (
	"io"
	"net/http"
	"testing"

	"github.com/lateen-dev/lateen"
)

func TestDraftModeBypassesTheCache(t *testing.T) {
	withPages(t, func(p *pageStage) {
		p.page("/isr", "built", lateen.Prerender{})
	}, func(p *pageStage) {
		p.answer = func(*http.Request, int) *http.Response {
			return reply(200, "draft", "Cache-Control: private, no-store", "Set-Cookie: a=b")
		}
		p.want("PRERENDER: built", "/isr", "Cookie: __prerender_bypass=wrong")
		p.want("BYPASS (draft_mode): draft", "/isr", "Cookie: a=1; __prerender_bypass="+token)
		if got := p.last().Header.Get("Cookie"); got != "a=1; __prerender_bypass="+token {
			t.Errorf("the function has the cookies %q", got)
		}
		p.want("HIT: built", "/isr")
	})
}

func TestUnsafeMethodsBypassTheCache(t *testing.T) {
	withPages(t, func(p *pageStage) {
		p.page("/isr", "built", lateen.Prerender{BypassFor: []lateen.HasField{
			{Type: "header", Key: "next-action"},
			{Type: "header", Key: "content-type", Value: &lateen.Condition{Re: "multipart/form-data;.*"}},
		}})
		p.page("/stream", "built", lateen.Prerender{BypassFor: []lateen.HasField{{Type: "query", Key: "live"}}, StreamingPath: "/stream.live"})
		p.site.Manifest.Functions["/live"] = lateen.Function{Runtime: "nodejs24.x"}
		p.site.Manifest.Outputs["/stream.live"] = "/live"
	}, func(p *pageStage) {
		p.answer = func(r *http.Request, _ int) *http.Response {
			return reply(201, r.Method+" "+r.Header.Get("Next-Action"))
		}
		for _, method := range []string{"POST", "PUT", "DELETE"} {
			resp := p.send(method, "/isr")
			if b, _ := io.ReadAll(resp.Body); string(b) != method+" " || resp.Header.Get("X-Vercel-Cache") != "BYPASS" {
				t.Errorf("%s: %q %s", method, b, resp.Header.Get("X-Vercel-Cache"))
			}
		}
		p.want("201 BYPASS (prerender_bypass): GET x", "/isr", "Next-Action: x")
		p.want("201 BYPASS (prerender_bypass): GET ", "/isr", "Content-Type: multipart/form-data; boundary=1")
		p.want("PRERENDER: built", "/isr", "Content-Type: text/plain")
		p.want("201 BYPASS (prerender_bypass): GET ", "/stream?live")
		if inv := p.record().Invocation; inv == nil || inv.Function != "/live" {
			t.Errorf("the invocation is %+v", inv)
		}
	})
}

func TestAFallbackIsServedUntilThePageIsCached(t *testing.T) {
	withPages(t, func(p *pageStage) {
		p.page("/posts/[slug]", "shell", lateen.Prerender{AllowQuery: []string{"slug"}})
		p.site.Manifest.Routes = []lateen.Route{{Handle: "rewrite"}, {Src: `^/posts/(?<slug>[^/]+?)(?:/)?$`, Dest: "/posts/[slug]?slug=$slug", Check: true}}
	}, func(p *pageStage) {
		p.want("PRERENDER: shell", "/posts/a")
		p.want("HIT: call 1", "/posts/a")
		p.want("MISS (crawler): call 2", "/posts/b", "User-Agent: Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)")
		p.want("HIT: call 2", "/posts/b")
		p.want("HIT: call 1", "/posts/a", "User-Agent: Twitterbot/1.0")
	})
}
