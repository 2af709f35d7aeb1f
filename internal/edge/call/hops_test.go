package call

import (
	"net/http"
	"testing"
)

func TestAForgedHopCountIsIgnored(t *testing.T) {
	h := NewHops()
	for name, want := range map[string]struct {
		said []string
		hops int
		fill string
	}{
		"no value":                       {nil, 0, ""},
		"a number":                       {[]string{"7", "8", "-1", "99999999999999999999"}, 0, ""},
		"a guess":                        {[]string{"7.0000000000000000", "8.", "."}, 0, ""},
		"the mark of 7 with 8":           {[]string{"8" + h[7][0][1:]}, 0, ""},
		"valid":                          {h[3], 3, ""},
		"several":                        {[]string{"0", h[2][0], h[5][0], h[4][0], "8.x"}, 5, ""},
		"valid, with the ID of a fill":   {h.Within(2, "ABC"), 3, "ABC"},
		"a guess, with the ID of a fill": {[]string{"7.0000000000000000.ABC"}, 0, ""},
	} {
		if got, fill := h.Of(http.Header{HopsHeader: want.said}); got != want.hops || fill != want.fill {
			t.Errorf("%s: %d %q, want %d %q", name, got, fill, want.hops, want.fill)
		}
	}
	other := NewHops()
	if n, _ := other.Of(http.Header{HopsHeader: h[3]}); n != 0 {
		t.Error("the hop count of another platform was accepted")
	}
}
