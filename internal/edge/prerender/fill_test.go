package prerender_test

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/cache"
)

func TestAFailedRegenerationKeepsThePage(t *testing.T) {
	for name, answer := range map[string]func(*http.Request, int) *http.Response{
		"500":                  func(*http.Request, int) *http.Response { return reply(500, "boom") },
		"403":                  func(*http.Request, int) *http.Response { return reply(403, "no") },
		"a crash":              func(*http.Request, int) *http.Response { return nil },
		"no-store":             func(*http.Request, int) *http.Response { return reply(200, "mine", "Cache-Control: private, no-store") },
		"a truncated response": func(*http.Request, int) *http.Response { r := reply(200, "ha"); r.Body = &brokenBody{}; return r },
	} {
		t.Run(name, func(t *testing.T) {
			withPages(t, func(p *pageStage) {
				p.page("/isr", "built", lateen.Prerender{Expiration: new(1)})
			}, func(p *pageStage) {
				p.answer = answer
				p.pass(time.Second)
				p.want("PRERENDER (stale_time): built", "/isr")
				p.want("STALE (stale_error): built", "/isr")
				p.pass(30*time.Second - 1)
				p.want("STALE (stale_error): built", "/isr")
				if n := p.called(); n != 1 {
					t.Errorf("the function was called %d times", n)
				}
				p.answer = nil
				p.pass(time.Nanosecond)
				p.want("STALE (stale_time): built", "/isr")
				p.want("HIT: call 2", "/isr")
			})
		})
	}
}

func TestAFailedFirstFillIsSentAndNotCached(t *testing.T) {
	withPages(t, func(p *pageStage) {
		p.page("/isr", "", lateen.Prerender{})
	}, func(p *pageStage) {
		p.answer = func(*http.Request, int) *http.Response { return reply(500, "boom", "Set-Cookie: a=b") }
		p.want("500 MISS (error): boom", "/isr")
		if cookies := p.send("GET", "/isr").Header["Set-Cookie"]; cookies != nil {
			t.Errorf("an error for all waiting requests has the cookies %q", cookies)
		}
		p.answer = func(*http.Request, int) *http.Response { return nil }
		if resp := p.send("GET", "/isr"); resp.StatusCode != 500 || resp.Header.Get("X-Vercel-Error") != "FUNCTION_INVOCATION_FAILED" {
			t.Errorf("a crash is %d %s", resp.StatusCode, resp.Header.Get("X-Vercel-Error"))
		}
		p.answer = func(*http.Request, int) *http.Response {
			return reply(200, "mine", "Cache-Control: private, no-store", "Set-Cookie: a=b")
		}
		p.want("MISS (cold): mine", "/isr")
		p.answer = nil
		p.want("MISS (cold): call 5", "/isr")
		p.want("HIT: call 5", "/isr")
	})
}

func TestA404IsCached(t *testing.T) {
	withPages(t, func(p *pageStage) {
		p.page("/gone", "", lateen.Prerender{})
	}, func(p *pageStage) {
		p.answer = func(*http.Request, int) *http.Response { return reply(404, "nothing", "Location: /x") }
		p.want("404 MISS (cold): nothing", "/gone")
		p.want("404 HIT: nothing", "/gone")
	})
}

func TestTheRecordOfACacheFillHasItsCost(t *testing.T) {
	withPages(t, func(p *pageStage) {
		p.page("/isr", "", lateen.Prerender{})
		p.page("/private", "", lateen.Prerender{})
		p.answer = func(r *http.Request, _ int) *http.Response {
			if r.URL.Path == "/private" {
				return reply(200, "mine", "Cache-Control: private")
			}
			return reply(200, "ours")
		}
	}, func(p *pageStage) {
		for _, path := range []string{"/isr", "/private"} {
			p.get(path)
			if inv := p.record().Invocation; inv == nil || inv.CPU != 7*time.Millisecond {
				t.Errorf("%s: %+v", path, inv)
			}
		}
		p.get("/isr")
		if inv := p.record().Invocation; inv != nil {
			t.Errorf("a hit called a function: %+v", inv)
		}
	})
}

type brokenBody struct{}

func (*brokenBody) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }
func (*brokenBody) Close() error             { return nil }

func TestTheFirstHitOfAnOldBuildIsLabeledPrerender(t *testing.T) {
	withPages(t, func(p *pageStage) {
		p.page("/isr", "built", lateen.Prerender{Expiration: new(2)})
		p.page("/tagged", "built", lateen.Prerender{Fallback: &lateen.Fallback{Headers: map[string]string{"x-next-cache-tags": "a"}}})
	}, func(p *pageStage) {
		p.pass(time.Minute)
		p.want("PRERENDER (stale_time): built", "/isr")
		p.want("HIT: call 1", "/isr")
		p.pass(2 * time.Second)
		p.want("STALE (stale_time): call 1", "/isr")
		if err := p.cache.Invalidate([]string{"dpl_1"}, []string{"a"}, cache.Soft); err != nil {
			p.t.Fatal(err)
		}
		p.want("STALE (stale_tag): built", "/tagged")
	})
}

// No client sees the response of a failed background refresh.
func TestAFailedBackgroundRefreshIsInTheLogOfTheSite(t *testing.T) {
	for name, c := range map[string]struct {
		answer func() *http.Response
		says   string
	}{
		"an error":             {func() *http.Response { return reply(500, "oops") }, "its function answered 500"},
		"a private response":   {func() *http.Response { return reply(404, "no", "Cache-Control: private, no-store") }, "its function answered 404, with a response that must not be cached"},
		"a crash":              {func() *http.Response { return nil }, "the function crashed"},
		"a truncated response": {func() *http.Response { r := reply(200, "ha"); r.Body = &brokenBody{}; return r }, "its function's response ended early"},
	} {
		t.Run(name, func(t *testing.T) {
			withPages(t, func(p *pageStage) {
				p.page("/isr", "built", lateen.Prerender{Expiration: new(2)})
			}, func(p *pageStage) {
				p.answer = func(*http.Request, int) *http.Response { return c.answer() }
				p.pass(2 * time.Second)
				p.get("/isr")
				if len(p.lines.all) != 1 {
					t.Fatalf("the log of the site has %+v", p.lines.all)
				}
				line := p.lines.all[0]
				if !strings.HasPrefix(line.Text, "the page /isr could not be refreshed") || !strings.Contains(line.Text, c.says) || line.Request == "" || line.Project != "prj_1" || line.Deployment != "dpl_1" || line.Level != lateen.LevelError {
					t.Errorf("the log of the site has %+v", line)
				}
				p.want("STALE (stale_error): built", "/isr")
				if p.called() != 1 {
					t.Errorf("%d calls", p.called())
				}
			})
		})
	}
}

func TestACacheFillBelongsToTheTraceOfItsRequest(t *testing.T) { // W3C Trace Context, level 2, §3.2
	withPages(t, func(p *pageStage) { p.page("/isr", "", lateen.Prerender{}) }, func(p *pageStage) {
		p.get("/isr", "Traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
		sent := p.last().Header.Get("Traceparent")
		if want := "00-0af7651916cd43dd8448eb211c80319c-" + p.record().SpanID + "-01"; sent != want {
			t.Errorf("the function got %q", sent)
		}
	})
}
