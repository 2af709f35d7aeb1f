package prerender_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lateen-dev/lateen"
)

func TestAStalePageIsServedDuringItsRefresh(t *testing.T) {
	withPages(t, func(p *pageStage) {
		p.page("/isr", "built", lateen.Prerender{Expiration: new(2), StaleExpiration: 60})
	}, func(p *pageStage) {
		p.want("PRERENDER: built", "/isr")
		p.want("HIT: built", "/isr")
		time.Sleep(2 * time.Second)
		p.want("STALE (stale_time): built", "/isr")
		p.want("HIT: call 1", "/isr")
		time.Sleep(2*time.Second - 1)
		p.want("HIT: call 1", "/isr")
		time.Sleep(time.Nanosecond)
		p.want("STALE (stale_time): call 1", "/isr")
		p.want("HIT: call 2", "/isr")
		time.Sleep(time.Minute)
		p.want("MISS (stale_time): call 3", "/isr")
		p.want("HIT: call 3", "/isr")
		if n := p.called(); n != 3 {
			t.Errorf("the function was called %d times", n)
		}
	})
}

func TestConcurrentMissesShareOneFill(t *testing.T) {
	withPages(t, func(p *pageStage) {
		p.page("/posts/[slug]", "", lateen.Prerender{Expiration: new(10), AllowQuery: []string{"slug"}})
		p.site.Manifest.Routes = []lateen.Route{{Handle: "rewrite"}, {Src: `^/posts/(?<slug>[^/]+?)(?:/)?$`, Dest: "/posts/[slug]?slug=$slug", Check: true}}
	}, func(p *pageStage) {
		release := make(chan struct{})
		p.answer = func(*http.Request, int) *http.Response { <-release; return reply(200, "post") }
		var all sync.WaitGroup
		got := make(chan string, 100)
		for range 100 {
			all.Go(func() {
				resp := p.send("GET", "/posts/a?utm=1")
				b, _ := io.ReadAll(resp.Body)
				got <- resp.Header.Get("X-Vercel-Cache") + " " + string(b)
			})
		}
		synctest.Wait()
		close(release)
		all.Wait()
		for range 100 {
			if s := <-got; s != "MISS post" {
				t.Errorf("got %q", s)
			}
		}
		reasons := map[string]int{}
		for _, r := range p.records.all {
			reasons[r.CacheReason]++
		}
		if diff := cmp.Diff(map[string]int{"cold": 1, "collapsed": 99}, reasons); diff != "" || p.called() != 1 {
			t.Errorf("%d calls, %s", p.called(), diff)
		}
		p.want("HIT: post", "/posts/a")
		p.want("MISS (cold): post", "/posts/b")
	})
}

func TestAHundredStaleRequestsShareOneRefresh(t *testing.T) {
	withPages(t, func(p *pageStage) {
		p.page("/isr", "built", lateen.Prerender{Expiration: new(1)})
	}, func(p *pageStage) {
		release := make(chan struct{})
		p.answer = func(_ *http.Request, n int) *http.Response { <-release; return reply(200, fmt.Sprint("new ", n)) }
		time.Sleep(time.Second)
		var all sync.WaitGroup
		for range 100 {
			all.Go(func() {
				if label := p.send("GET", "/isr").Header.Get("X-Vercel-Cache"); label != "PRERENDER" && label != "STALE" {
					t.Errorf("got %s", label)
				}
			})
		}
		all.Wait()
		close(release)
		synctest.Wait()
		p.want("HIT: new 1", "/isr")
		if n := p.called(); n != 1 {
			t.Errorf("the function was called %d times", n)
		}
	})
}

func TestTheClientSeesAPublicPage(t *testing.T) {
	withPages(t, func(p *pageStage) {
		p.page("/isr", "", lateen.Prerender{})
	}, func(p *pageStage) {
		p.answer = func(*http.Request, int) *http.Response {
			return reply(200, "page", "Cache-Control: s-maxage=60", "Set-Cookie: session=1", "X-Next-Cache-Tags: a,b", "X-Own: yes", "Etag: W/\"own\"")
		}
		for _, label := range []string{"MISS", "HIT"} {
			h := p.send("GET", "/isr").Header
			got := map[string]string{}
			for _, name := range []string{"Cache-Control", "Set-Cookie", "X-Next-Cache-Tags", "X-Own", "Etag", "X-Vercel-Cache", "Content-Length", "Content-Type"} {
				got[name] = h.Get(name)
			}
			want := map[string]string{
				"Cache-Control": "public, max-age=0, must-revalidate", "Set-Cookie": "", "X-Next-Cache-Tags": "", "X-Own": "yes",
				"Etag": "W/\"own\"", "X-Vercel-Cache": label, "Content-Length": "4", "Content-Type": "text/html",
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
			synctest.Wait()
		}
		time.Sleep(9500 * time.Millisecond)
		if age := p.send("GET", "/isr").Header.Get("Age"); age != "9" {
			t.Errorf("age is %q", age)
		}
	})
}

func TestConditionalAndHeadRequests(t *testing.T) {
	withPages(t, func(p *pageStage) {
		p.page("/isr", "built", lateen.Prerender{Fallback: &lateen.Fallback{Headers: map[string]string{"x-next-cache-tags": "a", "vary": "rsc"}}})
		p.page("/404", "not here", lateen.Prerender{Fallback: &lateen.Fallback{Status: 404}})
		p.page("/cold", "", lateen.Prerender{})
		p.site.Manifest.Routes = []lateen.Route{{Handle: "error"}, {Src: "/.*", Status: 404, Dest: "/404"}}
	}, func(p *pageStage) {
		first := p.send("GET", "/isr")
		etag := first.Header.Get("Etag")
		if etag == "" || first.Header.Get("Vary") == "" || first.Header.Get("X-Next-Cache-Tags") != "" {
			t.Fatalf("header is %v", first.Header)
		}
		for _, tags := range []string{etag, `"other", ` + etag, "W/" + etag, "*"} {
			resp := p.send("GET", "/isr", "If-None-Match: "+tags)
			if resp.StatusCode != 304 || resp.ContentLength > 0 || resp.Header.Get("Etag") != etag || resp.Header.Get("Content-Type") != "" {
				t.Errorf("%s: %d %v", tags, resp.StatusCode, resp.Header)
			}
		}
		if resp := p.send("GET", "/isr", `If-None-Match: "other"`); resp.StatusCode != 200 {
			t.Errorf("another tag: %d", resp.StatusCode)
		}
		head := p.send("HEAD", "/isr")
		if b, _ := io.ReadAll(head.Body); head.StatusCode != 200 || len(b) > 0 || head.Header.Get("Content-Length") != "5" {
			t.Errorf("HEAD: %d %q %v", head.StatusCode, b, head.Header)
		}
		head = p.send("HEAD", "/cold")
		if b, _ := io.ReadAll(head.Body); head.StatusCode != 200 || len(b) > 0 || p.last().Method != "GET" {
			t.Errorf("HEAD of a new page: %d %q, method of the function's request %s", head.StatusCode, b, p.last().Method)
		}
		synctest.Wait()
		p.want("HIT: call 1", "/cold")

		missing := p.send("GET", "/nowhere")
		etag = missing.Header.Get("Etag")
		if missing.StatusCode != 404 {
			t.Errorf("error page: %d", missing.StatusCode)
		}
		if resp := p.send("GET", "/nowhere", "If-None-Match: "+etag); resp.StatusCode != 404 {
			t.Errorf("error page on a condition: %d", resp.StatusCode)
		}
		if resp := p.send("POST", "/nowhere"); resp.StatusCode != 404 {
			t.Errorf("error page for a POST: %d", resp.StatusCode)
		}
	})
}

// A 304 has the validators and the Vary that the 200 would have (RFC 9110 §15.4.5).
func TestA304OfACachedPageHasItsVary(t *testing.T) {
	withPages(t, func(p *pageStage) {
		p.page("/isr", strings.Repeat("built ", 1000), lateen.Prerender{})
	}, func(p *pageStage) {
		for _, accept := range []string{"identity", "gzip"} {
			whole := p.send("GET", "/isr", "Accept-Encoding: "+accept)
			etag := whole.Header.Get("Etag")
			resp := p.send("GET", "/isr", "Accept-Encoding: "+accept, "If-None-Match: "+etag)
			if resp.StatusCode != 304 {
				t.Errorf("%s: status %d", accept, resp.StatusCode)
			}
			has(t, resp.Header, "Etag", etag)
			has(t, resp.Header, "Vary", "Accept-Encoding")
			has(t, resp.Header, "Content-Encoding", "")
			has(t, resp.Header, "Content-Length", "")
		}
	})
}

func TestRevalidationOnDemand(t *testing.T) {
	withPages(t, func(p *pageStage) {
		p.page("/isr", "built", lateen.Prerender{AllowQuery: []string{}, AllowHeader: []string{"x-prerender-revalidate", "host"}, Group: 5})
		p.page("/isr.rsc", "data", lateen.Prerender{AllowQuery: []string{}, Group: 5})
		p.page("/cold", "", lateen.Prerender{AllowQuery: []string{}})
	}, func(p *pageStage) {
		p.want("PRERENDER: built", "/isr")
		p.want("PRERENDER: built", "/isr", "Host: www.example.com")
		p.want("PRERENDER: data", "/isr.rsc")
		for _, wrong := range []string{"", "x", token[:31], token + "x", strings.ToUpper(token)} {
			p.want("HIT: built", "/isr", "X-Prerender-Revalidate: "+wrong)
		}
		if n := p.called(); n != 0 {
			t.Fatalf("with a wrong token, the function was called %d times", n)
		}
		time.Sleep(time.Second)
		p.want("REVALIDATED: call 1", "/isr", "X-Prerender-Revalidate: "+token)
		if first := p.calls[0]; first.Header.Get("X-Prerender-Revalidate") != token {
			t.Error("the function did not get the fields of a requested refresh")
		}
		if data := p.last(); data.URL.Path != "/isr.rsc" || data.Header["X-Prerender-Revalidate"] != nil {
			t.Errorf("%s got the fields of a requested refresh: %v", data.URL.Path, data.Header)
		}
		p.want("HIT: call 1", "/isr")
		p.want("HIT: call 2", "/isr.rsc")
		p.want("REVALIDATED (stale_group): call 3", "/isr", "Host: www.example.com") // the same page on another host
		p.want("HIT: call 4", "/isr.rsc", "Host: www.example.com")

		if resp := p.send("HEAD", "/isr", "X-Prerender-Revalidate: "+token); resp.StatusCode != 200 || resp.Header.Get("X-Vercel-Cache") != "REVALIDATED" {
			t.Errorf("HEAD: %d %s", resp.StatusCode, resp.Header.Get("X-Vercel-Cache"))
		}
		synctest.Wait()
		only := []string{"X-Prerender-Revalidate: " + token, "X-Prerender-Revalidate-If-Generated: 1"}
		if resp := p.send("HEAD", "/cold", only...); resp.StatusCode != 404 {
			t.Errorf("a page that was never made: %d", resp.StatusCode)
		}
		p.want("REVALIDATED: call 7", "/isr", only...)

		p.answer = func(*http.Request, int) *http.Response { return reply(500, "boom") }
		p.want("500 MISS (error): boom", "/isr", "X-Prerender-Revalidate: "+token)
		p.want("HIT: call 7", "/isr")
	})
}

func TestAPageWithoutAFunctionStays(t *testing.T) {
	withPages(t, func(p *pageStage) {
		p.page("/static", "built", lateen.Prerender{Expiration: new(1)})
		delete(p.site.Manifest.Outputs, "/static")
	}, func(p *pageStage) {
		time.Sleep(time.Hour)
		p.want("PRERENDER: built", "/static", "X-Prerender-Revalidate: "+token)
		p.want("HIT: built", "/static", "Cookie: __prerender_bypass="+token)
		if resp := p.send("POST", "/static"); resp.StatusCode != 405 || resp.Header.Get("Allow") != "GET, HEAD" {
			t.Errorf("POST: %d, Allow is %q", resp.StatusCode, resp.Header.Get("Allow"))
		}
	})
}

func TestPagesSurviveARestart(t *testing.T) {
	withPages(t, func(p *pageStage) {
		p.page("/isr", "built", lateen.Prerender{Expiration: new(10)})
		p.page("/big", "", lateen.Prerender{})
	}, func(p *pageStage) {
		big := strings.Repeat("b", 1<<20)
		p.answer = func(r *http.Request, n int) *http.Response {
			if r.URL.Path == "/big" {
				return reply(200, big)
			}
			return nil
		}
		p.want("MISS (cold): "+big, "/big")
		p.answer = nil
		p.want("REVALIDATED: call 2", "/isr", "X-Prerender-Revalidate: "+token)
		p.stop()
		p.open()
		p.want("HIT: call 2", "/isr") // not the page from the build
		p.want("HIT: "+big, "/big")
		if err := p.edge.Forget("dpl_1"); err != nil {
			t.Fatal(err)
		}
		p.edge.Route(map[string]lateen.Binding{"app.localhost": {Deployment: "dpl_1"}})
		p.want("PRERENDER: built", "/isr")
	})
}

func TestAClientThatDisconnectsDoesNotStopTheFill(t *testing.T) {
	withPages(t, func(p *pageStage) {
		p.page("/isr", "", lateen.Prerender{})
	}, func(p *pageStage) {
		release := make(chan struct{})
		p.answer = func(*http.Request, int) *http.Response { <-release; return reply(200, "page") }
		ctx, cancel := context.WithCancel(p.t.Context())
		gone := make(chan any)
		go func() {
			defer func() { gone <- recover() }()
			p.edge.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(ctx, "GET", "http://app.localhost/isr", nil))
		}()
		synctest.Wait()
		second := make(chan string)
		go func() {
			resp := p.send("GET", "/isr")
			b, _ := io.ReadAll(resp.Body)
			second <- string(b)
		}()
		synctest.Wait()
		cancel()
		if failure := <-gone; failure != http.ErrAbortHandler { //nolint:errorlint // net/http compares the value itself
			t.Errorf("the first ended with %v", failure)
		}
		close(release)
		if got := <-second; got != "page" || p.called() != 1 {
			t.Errorf("the second got %q after %d calls", got, p.called())
		}
	})
}

func TestAFallbackKeepsItsHeaderAndStatus(t *testing.T) {
	withPages(t, func(p *pageStage) {
		p.page("/_error", "sorry", lateen.Prerender{Fallback: &lateen.Fallback{Status: 500, Headers: map[string]string{"x-own": "1", "set-cookie": "a=b"}}})
	}, func(p *pageStage) {
		resp := p.send("GET", "/_error")
		if resp.StatusCode != 500 || resp.Header.Get("X-Own") != "1" || resp.Header.Get("Set-Cookie") != "" || resp.Header.Get("Content-Type") == "" {
			t.Errorf("got %d %v", resp.StatusCode, resp.Header)
		}
	})
}

func TestALostFallbackIsReplaced(t *testing.T) {
	withPages(t, func(p *pageStage) {
		p.page("/isr", "", lateen.Prerender{Fallback: &lateen.Fallback{Blob: lateen.Blob{Digest: lateen.DigestOf([]byte("lost")), Size: 4}}})
	}, func(p *pageStage) {
		p.want("MISS (cold): call 1", "/isr")
	})
}

func TestAPrivatePageIsMadeForItsOwnClient(t *testing.T) {
	withPages(t, func(p *pageStage) {
		p.page("/page", "", lateen.Prerender{})
	}, func(p *pageStage) {
		gate, clients := make(chan struct{}), make(chan string, 2)
		p.answer = func(r *http.Request, n int) *http.Response {
			clients <- lateen.ClientFrom(r.Context())
			if n == 1 {
				<-gate
			}
			return reply(200, "for you", "Cache-Control: private")
		}
		for range 2 {
			go p.send(http.MethodGet, "/page")
			synctest.Wait()
		}
		close(gate)
		synctest.Wait()
		<-clients // the client of the first request, whose page might have been shared
		if got := <-clients; got != "192.0.2.1" {
			t.Errorf("the fleet got the client %q for the second request", got)
		}
	})
}

func TestAPageWithARouteStatusIsSentWhole(t *testing.T) {
	for _, status := range []int{200, 203} {
		withPages(t, func(p *pageStage) {
			p.site.Manifest.Routes = []lateen.Route{{Src: "/", Dest: "/page", Status: status}}
			p.page("/page", "made by the build", lateen.Prerender{})
		}, func(p *pageStage) {
			etag := p.send("GET", "/").Header.Get("Etag")
			resp := p.send("GET", "/", "If-None-Match: "+etag)
			body, _ := io.ReadAll(resp.Body)
			if resp.StatusCode != status || string(body) != "made by the build" {
				t.Errorf("a cached page with status %d: %d %q", status, resp.StatusCode, body)
			}
		})
	}
}
