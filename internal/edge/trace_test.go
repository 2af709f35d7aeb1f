package edge

import (
	"net/http"
	"testing"

	"github.com/lateen-dev/lateen"
)

func TestATraceTheClientNamesIsContinued(t *testing.T) {
	var r lateen.Record
	joinTrace(&r, http.Header{"Traceparent": {"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}})
	if r.TraceID != "0af7651916cd43dd8448eb211c80319c" || r.ParentSpan != "b7ad6b7169203331" {
		t.Errorf("joined trace %s with the parent %s", r.TraceID, r.ParentSpan)
	}
	if len(r.SpanID) != 16 || r.SpanID == r.ParentSpan {
		t.Errorf("the request's own span is %q", r.SpanID)
	}
	if _, parent, ok := parseTraceparent(traceparent(&r)); !ok || parent != r.SpanID {
		t.Errorf("the traceparent for functions, %q, does not name the request as the parent", traceparent(&r))
	}
}

func TestAMalformedTraceIsReplaced(t *testing.T) {
	for _, value := range []string{
		"", "00", "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
		"00-00000000000000000000000000000000-b7ad6b7169203331-01", "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
		"ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
		"01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01more", "00_0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
		"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-zz",
	} {
		var r lateen.Record
		joinTrace(&r, http.Header{"Traceparent": {value}})
		if r.ParentSpan != "" || len(r.TraceID) != 32 || r.TraceID == "0af7651916cd43dd8448eb211c80319c" {
			t.Errorf("%q was accepted: %+v", value, r)
		}
	}
	if _, _, ok := parseTraceparent("01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more"); !ok {
		t.Error("a later version of the field was not read by its prefix")
	}
}

func TestACacheFillBelongsToTheTraceOfItsRequest(t *testing.T) { // W3C Trace Context, level 2, §3.2
	withPages(t, func(p *pageStage) { p.page("/isr", "", lateen.Prerender{}) }, func(p *pageStage) {
		p.get("/isr", "Traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
		sent := p.last().Header.Get("Traceparent")
		if trace, parent, ok := parseTraceparent(sent); !ok || trace != "0af7651916cd43dd8448eb211c80319c" || parent != p.record().SpanID {
			t.Errorf("the function got %q", sent)
		}
	})
}
