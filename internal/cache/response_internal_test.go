package cache

import (
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lateen-dev/lateen"
)

func TestOnlySevenStatusesAreKept(t *testing.T) {
	kept := map[int]bool{200: true, 301: true, 302: true, 307: true, 308: true, 404: true, 410: true}
	for status := 200; status < 600; status++ {
		d := ResponseOf(&http.Response{StatusCode: status, Header: http.Header{}}, &lateen.Prerender{}, "")
		if http.StatusText(status) == "" || (d.Reuse == ReuseStored) == kept[status] {
			continue
		}
		t.Errorf("%d is kept: %v", status, d.Reuse == ReuseStored)
	}
}

func TestTheResponseSetsItsLifetime(t *testing.T) {
	for name, tt := range map[string]struct {
		header        string
		fresh, usable time.Duration
		once          bool
	}{
		"no field":       {"X-A: b", 5 * time.Second, 50 * time.Second, false},
		"max-age only":   {"Cache-Control: max-age=9, must-revalidate", 5 * time.Second, 50 * time.Second, false},
		"shared":         {"Cache-Control: s-maxage=9", 9 * time.Second, 50 * time.Second, false},
		"stale":          {"Cache-Control: s-maxage=9, stale-while-revalidate=11", 9 * time.Second, 20 * time.Second, false},
		"other spelling": {`Cache-Control: S-MaxAge="9" , Stale-While-Revalidate=11`, 9 * time.Second, 20 * time.Second, false},
		"a year":         {"Cache-Control: s-maxage=31536000", 31536000 * time.Second, 50 * time.Second, false},
		"too long":       {"Cache-Control: s-maxage=999999999999", MaxSeconds * time.Second, 50 * time.Second, false},
		"negative":       {"Cache-Control: s-maxage=-1, stale-while-revalidate=4", 0, 4 * time.Second, false},
		"targeted":       {"Vercel-CDN-Cache-Control: max-age=7", 7 * time.Second, 50 * time.Second, false},
		"private":        {"Cache-Control: private", 0, 0, true},
		"no-store":       {"CDN-Cache-Control: no-store", 0, 0, true},
		"zero":           {"Cache-Control: s-maxage=0", 0, 0, true},
	} {
		t.Run(name, func(t *testing.T) {
			name, value, _ := strings.Cut(tt.header, ": ")
			resp := &http.Response{StatusCode: http.StatusOK, Header: http.Header{http.CanonicalHeaderKey(name): {value}}}
			d := ResponseOf(resp, &lateen.Prerender{Expiration: new(5), StaleExpiration: 50}, "")
			if once := d.Reuse == ReuseNone; once != tt.once {
				t.Fatalf("use is private: %v", once)
			}
			if !tt.once && (d.Entry.Fresh != tt.fresh || d.Entry.Usable != tt.usable) {
				t.Errorf("fresh for %v of %v, want %v of %v", d.Entry.Fresh, d.Entry.Usable, tt.fresh, tt.usable)
			}
		})
	}
}

func TestTheTagsOfAResponseAreBounded(t *testing.T) {
	h := http.Header{"X-Next-Cache-Tags": {" a , b,,a"}, "Vercel-Cache-Tag": {"c", "a\xff"}}
	if diff := cmp.Diff([]string{"a", "a\uFFFD", "b", "c"}, TakeTags(h)); diff != "" || len(h) > 0 {
		t.Error(diff, h)
	}
	h = http.Header{}
	for i := range 500 {
		h.Add("Vercel-Cache-Tag", strconv.Itoa(i))
	}
	if n := len(TakeTags(h)); n != maxTags {
		t.Errorf("%d tags were used", n)
	}
}

func TestCacheControlForTheClient(t *testing.T) {
	for given, want := range map[string]string{
		"": "public, max-age=0, must-revalidate", "s-maxage=60": "public, max-age=0, must-revalidate",
		"public, s-maxage=60, stale-while-revalidate=30":            "public, max-age=0, must-revalidate",
		"max-age=60, s-maxage=600":                                  "max-age=60",
		"public, max-age=60, stale-while-revalidate=9, S-MaxAge=10": "public, max-age=60",
		"private, no-store":                                         "private, no-store", "no-cache": "no-cache", "max-age=60": "max-age=60", "public": "public",
		"public,max-age=31536000,immutable": "public,max-age=31536000,immutable", "private, stale-if-error=4": "private",
	} {
		var values []string
		if given != "" {
			values = []string{given}
		}
		if got := strings.Join(ClientControl(values), " | "); got != want {
			t.Errorf("%q becomes %q, want %q", given, got, want)
		}
	}
}
