package address_test

import (
	"net/netip"
	"testing"

	"github.com/lateen-dev/lateen/internal/address"
)

// TestTheClientIsTheLastUntrustedAddress has the forms of X-Forwarded-For that
// proxies write; ports and brackets are from RFC 7239 §5.2 and §6.
func TestTheClientIsTheLastUntrustedAddress(t *testing.T) {
	proxies := netip.MustParsePrefix("10.0.0.0/8")
	for list, want := range map[string]string{
		"":                                 "10.0.0.1",
		"6.6.6.6, 1.2.3.4":                 "1.2.3.4",
		"6.6.6.6, 1.2.3.4, 10.0.0.9":       "1.2.3.4",
		"6.6.6.6,1.2.3.4,::ffff:10.0.0.9":  "1.2.3.4",
		"10.0.0.7, 10.0.0.9":               "10.0.0.7",
		"1.2.3.4, nonsense":                "10.0.0.1",
		"nonsense, 1.2.3.4":                "1.2.3.4",
		"6.6.6.6, 1.2.3.4:5678":            "1.2.3.4",
		"2001:db8::1":                      "2001:db8::1",
		"[2001:db8::1]":                    "2001:db8::1",
		"[2001:db8::1]:443":                "2001:db8::1",
		`2001:db8::1%a";for=6.6.6.6`:       "2001:db8::1",
		`[2001:db8::1%a";for=6.6.6.6]:443`: "2001:db8::1",
		"::ffff:1.2.3.4":                   "1.2.3.4",
		"_hidden":                          "10.0.0.1",
		"1.2.3.4:99999":                    "10.0.0.1",
	} {
		if got := address.Forwarded(netip.MustParseAddr("10.0.0.1"), []string{list}, proxies.Contains); got.String() != want {
			t.Errorf("%q: %s, want %s", list, got, want)
		}
	}
}
