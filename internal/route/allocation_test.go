//go:build !race

// The race detector makes pools drop items at random, so that allocations can be
// counted only without it.

package route_test

import "testing"

// Ceilings of allocations on a real table, one above the measured number. Raise one
// only with a reason.
func TestResolveAllocatesLittle(t *testing.T) {
	table, _ := load(t, "testdata/nextjs.txtar")
	router, _ := compile(t, table)
	for path, most := range map[string]float64{
		"/_next/static/chunks/08mika-44sn50.js": 9,
		"/api/hello":                            11,
		"/posts/hoist":                          11,
		"/posts/another":                        15,
	} {
		req := newRequest("GET", path)
		got := testing.AllocsPerRun(100, func() {
			if _, err := router.Resolve(t.Context(), req, next); err != nil {
				t.Fatal(err)
			}
		})
		if got > most {
			t.Errorf("%s: %v allocations, at most %v", path, got, most)
		}
	}
}
