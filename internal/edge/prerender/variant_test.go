package prerender

import (
	"net/http"
	"strings"
	"testing"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/cache"
	"github.com/lateen-dev/lateen/internal/edge/call"
	"github.com/lateen-dev/lateen/internal/edge/site"
	"github.com/lateen-dev/lateen/internal/route"
)

func TestHostileParametersAreHarmless(t *testing.T) {
	for _, query := range []string{"slug=%", "slug=a%0d%0aX-Evil:1", "slug=\xff\xfe", "%zz=1&slug=b", "slug=a;b", strings.Repeat("slug=x&", 500), "slug=ü"} {
		got := allowedParams(query, []string{"slug"})
		for _, c := range []byte(got) {
			if c <= ' ' || c >= 0x7f {
				t.Errorf("%q became %q", query, got)
				break
			}
		}
		if strings.Contains(got, "zz") {
			t.Errorf("%q became %q", query, got)
		}
	}
	if a, b := allowedParams("b=2&a=1&a=0", nil), allowedParams("a=1&b=2&a=0", nil); a != b || a != "a=1&a=0&b=2" {
		t.Errorf("got %q and %q", a, b)
	}
}

// The function gets the request as the middleware has changed it, and the page depends
// on that.
func TestACachedPageDependsOnFieldsOfMiddleware(t *testing.T) {
	k := &call.Call{Client: call.Client{Proto: "https", Host: "a.example"}}
	p := &lateen.Prerender{AllowHeader: []string{"x-lang"}}
	plain := variantOf(k, &route.Decision{RequestHeader: http.Header{"X-Lang": {"de"}}}, p)
	changed := variantOf(k, &route.Decision{RequestHeader: http.Header{"X-Lang": {"fr"}}}, p)
	if plain.header.Get("X-Lang") != "de" || changed.header.Get("X-Lang") != "fr" || plain.key(aSite(), "/") == changed.key(aSite(), "/") {
		t.Errorf("got %+v and %+v", plain, changed)
	}
}

// The key has every part of the request that the function gets; the name of the group
// has all of them except the origin and the path.
func TestCacheKeysCoverEverythingAFunctionGets(t *testing.T) {
	base := variant{origin: "https://a.example", path: "/p", query: "a=1", matches: "b=2", header: http.Header{"X": {"1"}}}
	keys, groups := map[cache.Key]bool{}, map[string]int{}
	for _, change := range []func(a *variant){
		func(*variant) {},
		func(a *variant) { a.origin = "http://a.example" },
		func(a *variant) { a.origin = "https://b.example" },
		func(a *variant) { a.path = "/q" },
		func(a *variant) { a.query = "a=2" },
		func(a *variant) { a.query, a.matches = "a=1b=2", "" },
		func(a *variant) { a.header = http.Header{"X": {"2"}} },
		func(a *variant) { a.header = http.Header{"X": {"1"}, "Y": {""}} },
		func(a *variant) { a.header = nil },
	} {
		a := base
		change(&a)
		keys[a.key(aSite(), "/o")] = true
		groups[a.group(1, "/o")]++
	}
	if len(keys) != 9 || len(groups) != 6 || groups[base.group(1, "/other")] != 4 {
		t.Errorf("%d keys, groups %v", len(keys), groups)
	}
}

func aSite() *site.Site { return &site.Site{Site: lateen.Site{Project: "prj_1", Deployment: "dpl_1"}} }

func FuzzAllowedParams(f *testing.F) {
	f.Add("b=2&a=1&a=0&%61=3&x")
	f.Fuzz(func(t *testing.T, query string) {
		got := allowedParams(query, []string{"a", "b"})
		for _, c := range []byte(got) {
			if c <= ' ' || c >= 0x7f {
				t.Fatalf("%q became %q", query, got)
			}
		}
		if again := allowedParams(got, []string{"a", "b"}); again != got {
			t.Errorf("%q became %q and then %q", query, got, again)
		}
	})
}
