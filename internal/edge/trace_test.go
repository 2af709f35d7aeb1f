package edge

import (
	"testing"

	"github.com/lateen-dev/lateen"
)

func TestACacheFillBelongsToTheTraceOfItsRequest(t *testing.T) { // W3C Trace Context, level 2, §3.2
	withPages(t, func(p *pageStage) { p.page("/isr", "", lateen.Prerender{}) }, func(p *pageStage) {
		p.get("/isr", "Traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
		sent := p.last().Header.Get("Traceparent")
		if want := "00-0af7651916cd43dd8448eb211c80319c-" + p.record().SpanID + "-01"; sent != want {
			t.Errorf("the function got %q", sent)
		}
	})
}
