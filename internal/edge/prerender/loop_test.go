package prerender_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/edge/call"
)

// fetch requests a path as user code does while it handles the request r: with the hop
// count that the agent got.
func (p *pageStage) fetch(r *http.Request, path string) string {
	resp := p.send(http.MethodGet, path, call.HopsHeader+": "+r.Header.Get("X-Vercel-Internal-Hops"))
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		p.t.Error(err)
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Sprint(resp.StatusCode, " ", resp.Header.Get("X-Vercel-Error"))
	}
	return string(body)
}

// hops returns the values of [call.HopsHeader] by hop count from 1 on, as the agents of
// functions get them.
func (p *pageStage) hops() [call.MaxHops + 1]string {
	p.site.Manifest.Outputs["/api/hops"] = "/fn"
	answer := p.answer
	defer func() { p.answer = answer }()
	p.answer = nil
	var values [call.MaxHops + 1]string
	for n := 1; n <= call.MaxHops; n++ {
		p.send(http.MethodGet, "/api/hops", call.HopsHeader+": "+values[n-1])
		values[n] = p.last().Header.Get("X-Vercel-Internal-Hops")
	}
	return values
}

const loops = "508 INFINITE_LOOP_DETECTED"

func TestAPageThatFetchesItselfGets508Immediately(t *testing.T) {
	withPages(t, func(p *pageStage) {
		p.page("/isr", "", lateen.Prerender{Expiration: new(1), StaleExpiration: 2})
	}, func(p *pageStage) {
		p.answer = func(r *http.Request, n int) *http.Response {
			return reply(200, fmt.Sprintf("call %d saw %s", n, p.fetch(r, "/isr")))
		}
		began := time.Now()
		p.want("MISS (cold): call 1 saw "+loops, "/isr")
		p.pass(3 * time.Second) // expired
		p.want("MISS (stale_time): call 2 saw "+loops, "/isr")
		if resp := p.send(http.MethodGet, "/isr", "X-Prerender-Revalidate: "+token); resp.Header.Get("X-Vercel-Cache") != "REVALIDATED" {
			t.Errorf("on demand: %s %v", resp.Status, resp.Header)
		}
		if took := time.Since(began); took != 3*time.Second { // in synthetic time
			t.Errorf("the request took %v, want 3s", took)
		}
	})
}

func TestABackgroundRefreshMayFetchItsOwnPage(t *testing.T) {
	withPages(t, func(p *pageStage) {
		p.page("/isr", "built", lateen.Prerender{Expiration: new(1)})
	}, func(p *pageStage) {
		p.answer = func(r *http.Request, n int) *http.Response {
			return reply(200, fmt.Sprintf("call %d saw %s", n, p.fetch(r, "/isr")))
		}
		p.pass(time.Second)
		p.want("PRERENDER (stale_time): built", "/isr")
		p.want("HIT: call 1 saw built", "/isr")
	})
}

func TestPagesThatFetchEachOtherGet508Immediately(t *testing.T) {
	withPages(t, func(p *pageStage) {
		p.page("/a", "", lateen.Prerender{})
		p.page("/b", "", lateen.Prerender{})
	}, func(p *pageStage) {
		both := make(chan struct{})
		p.answer = func(r *http.Request, n int) *http.Response {
			if n == 2 {
				close(both)
			}
			<-both
			if r.URL.Path == "/a" {
				return reply(200, "a saw "+p.fetch(r, "/b"))
			}
			return reply(200, "b saw "+p.fetch(r, "/a"))
		}
		got := make(chan string, 2)
		for _, path := range []string{"/a", "/b"} {
			go func() {
				body, _ := io.ReadAll(p.send(http.MethodGet, path).Body)
				got <- string(body)
			}()
		}
		for range 2 {
			if text := <-got; !strings.HasSuffix(text, loops) {
				t.Errorf("got %q", text)
			}
		}
	})
}

// A cache fill passes on the hop count of its leading request, so that an endless chain
// of pages is cut off.
func TestAChainOfPagesEnds(t *testing.T) {
	for name, page := range map[string]lateen.Prerender{"missing": {}, "stale": {Expiration: new(1)}} {
		t.Run(name, func(t *testing.T) {
			withPages(t, func(p *pageStage) {
				for n := range 20 {
					built := ""
					if name == "stale" {
						built = "built"
					}
					p.page(fmt.Sprint("/", n), built, page)
				}
			}, func(p *pageStage) {
				p.answer = func(r *http.Request, _ int) *http.Response {
					var n int
					fmt.Sscanf(r.URL.Path, "/%d", &n)
					return reply(200, p.fetch(r, fmt.Sprint("/", n+1)))
				}
				p.pass(time.Second)
				p.send(http.MethodGet, "/0")
				synctest.Wait()
				if n, want := p.called(), map[string]int{"missing": call.MaxHops, "stale": call.MaxHops / 2}[name]; n != want {
					t.Errorf("%d pages were made, want %d", n, want)
				}
			})
		})
	}
}

// A client of any site may have a high hop count: for example a function of another
// tenant that sends the field it got.
func TestAPageDoesNotDependOnTheHopCountOfItsFirstRequest(t *testing.T) {
	for name, page := range map[string]lateen.Prerender{"missing": {}, "stale": {Expiration: new(1)}} {
		t.Run(name, func(t *testing.T) {
			withPages(t, func(p *pageStage) {
				built := ""
				if name == "stale" {
					built = "built"
				}
				p.page("/shop", built, page)
				p.page("/stock", "", lateen.Prerender{})
			}, func(p *pageStage) {
				p.answer = func(r *http.Request, _ int) *http.Response {
					if r.URL.Path == "/stock" {
						return reply(200, "stock")
					}
					return reply(200, "a shop with "+p.fetch(r, "/stock"))
				}
				p.pass(time.Second)
				hops := p.hops()
				for n := 1; n < call.MaxHops; n++ {
					p.send(http.MethodGet, "/shop", call.HopsHeader+": "+hops[call.MaxHops-n])
					synctest.Wait()
				}
				p.send(http.MethodGet, "/shop")
				synctest.Wait()
				if got := p.get("/shop"); got != "HIT: a shop with stock" {
					t.Errorf("a later request got %s", got)
				}
			})
		})
	}
}
