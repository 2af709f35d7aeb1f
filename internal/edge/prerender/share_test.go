package prerender_test

import (
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lateen-dev/lateen"
)

func TestHangingPagesOfOneSiteDoNotBlockOtherSites(t *testing.T) {
	const visitors = 300 // more than the bounds of cache fills and refreshes
	withPages(t, func(p *pageStage) {
		for n := range visitors {
			p.page(fmt.Sprint("/cold/", n), "", lateen.Prerender{})
			p.page(fmt.Sprint("/stale/", n), "built", lateen.Prerender{Expiration: new(1)})
		}
		p.other = &lateen.Site{Team: "team_2", Project: "prj_2", Deployment: "dpl_2", Host: "other.localhost", Manifest: &lateen.Manifest{
			Version: 1, Outputs: map[string]string{"/cold": "/fn", "/stale": "/fn"}, Functions: p.site.Manifest.Functions,
			Prerenders: map[string]lateen.Prerender{"/cold": {}, "/stale": {Expiration: new(1), Fallback: p.site.Manifest.Prerenders["/stale/0"].Fallback}},
		}}
	}, func(p *pageStage) {
		p.other.CreatedAt = p.site.CreatedAt
		gate := make(chan struct{})
		p.answer = func(r *http.Request, _ int) *http.Response {
			if r.Host == "other.localhost" {
				return reply(200, "made")
			}
			<-gate
			return reply(200, "late")
		}
		p.pass(time.Second)
		for n := range visitors {
			p.send(http.MethodGet, fmt.Sprint("/stale/", n))
			go p.send(http.MethodGet, fmt.Sprint("/cold/", n))
		}
		synctest.Wait()
		p.want("MISS (cold): made", "/cold", "Host: other.localhost")
		p.want("PRERENDER (stale_time): built", "/stale", "Host: other.localhost")
		p.want("HIT: made", "/stale", "Host: other.localhost")
		close(gate)
		synctest.Wait()
	})
}
