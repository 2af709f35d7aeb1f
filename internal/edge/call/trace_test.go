package call

import (
	"net/http"
	"testing"
)

func TestATraceTheClientNamesIsContinued(t *testing.T) {
	r := TraceOf(http.Header{"Traceparent": {"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}})
	if r.ID != "0af7651916cd43dd8448eb211c80319c" || r.Parent != "b7ad6b7169203331" {
		t.Errorf("joined trace %s with the parent %s", r.ID, r.Parent)
	}
	if len(r.Span) != 16 || r.Span == r.Parent {
		t.Errorf("the request's own span is %q", r.Span)
	}
	if _, parent, ok := parseTraceparent(r.traceparent()); !ok || parent != r.Span {
		t.Errorf("the traceparent for functions, %q, does not name the request as the parent", r.traceparent())
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
		r := TraceOf(http.Header{"Traceparent": {value}})
		if r.Parent != "" || len(r.ID) != 32 || r.ID == "0af7651916cd43dd8448eb211c80319c" {
			t.Errorf("%q was accepted: %+v", value, r)
		}
	}
	if _, _, ok := parseTraceparent("01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more"); !ok {
		t.Error("a later version of the field was not read by its prefix")
	}
}
