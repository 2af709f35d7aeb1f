package address_test

import (
	"net/netip"
	"testing"

	"github.com/lateen-dev/lateen/internal/address"
)

func TestOnlyThePublicInternetIsPublic(t *testing.T) {
	for text, want := range map[string]bool{
		"1.1.1.1": true, "8.8.8.8": true, "172.15.255.255": true, "172.32.0.0": true, "100.63.255.255": true, "192.0.1.1": true,
		"198.17.255.255": true, "198.20.0.0": true, "223.255.255.255": true,
		"2606:4700::1111": true, "2a00:1450::1": true, "2001:4860:4860::8888": true, "::ffff:1.1.1.1": true,
		"64:ff9b::101:101": true, "2002:101:101::1": true,

		"0.0.0.0": false, "0.1.2.3": false, "10.0.0.1": false, "100.64.0.1": false, "100.127.255.255": false, "127.0.0.1": false, "127.9.9.9": false,
		"168.63.129.16": false, "169.254.169.254": false, "172.16.0.1": false, "172.31.255.255": false, "192.0.0.192": false, "192.0.2.1": false,
		"192.168.1.1": false, "198.18.0.1": false, "198.19.255.255": false, "198.51.100.7": false, "203.0.113.9": false, "224.0.0.1": false,
		"239.255.255.255": false, "240.0.0.1": false, "255.255.255.255": false,

		"::": false, "::1": false, "::127.0.0.1": false, "::8.8.8.8": false, "::ffff:10.0.0.1": false, "::ffff:127.0.0.1": false, "::ffff:0:127.0.0.1": false,
		"fe80::1": false, "fe80::1%eth0": false, "fec0::1": false, "fc00::1": false, "fd00:ec2::254": false, "ff02::1": false,
		"64:ff9b::7f00:1": false, "64:ff9b::a9fe:a9fe": false, "64:ff9b:1::a00:1": false, "2002:7f00:1::": false, "2002:a9fe:a9fe::1": false, "2002:c0a8:101::1": false,
		"2001::1": false, "2001:0:7f00:1::": false, "2001:db8::1": false, "3fff::1": false, "100::1": false, "5f00::1": false, "4000::1": false,
	} {
		if got := address.Public(netip.MustParseAddr(text)); got != want {
			t.Errorf("%s is public: %v, want %v", text, got, want)
		}
	}
	if address.Public(netip.Addr{}) {
		t.Error("the zero address is public")
	}
}

func TestAnAllowedAddressIsPermittedInEverySpelling(t *testing.T) {
	allow := []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("fd12::/16")}
	for text, want := range map[string]bool{
		"1.1.1.1": true, "10.1.2.3": true, "::ffff:10.1.2.3": true, "64:ff9b::a01:203": true, "2002:a01:203::": true, "fd12::7": true, "fd12::7%eth0": true,
		"10.2.0.1": false, "::ffff:10.2.0.1": false, "64:ff9b::a02:1": false, "2002:a02:1::": false, "fd13::7": false, "127.0.0.1": false,
	} {
		if got := address.Permitted(netip.MustParseAddr(text), allow); got != want {
			t.Errorf("%s is permitted: %v, want %v", text, got, want)
		}
	}
}

// FuzzSpellings checks that every spelling of an IPv4 address is public, or permitted,
// exactly if the address is.
func FuzzSpellings(f *testing.F) {
	f.Add([]byte{127, 0, 0, 1})
	f.Add([]byte{8, 8, 8, 8})
	f.Add([]byte{169, 254, 169, 254})
	allow := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) < 4 {
			return
		}
		plain := netip.AddrFrom4([4]byte(b))
		mapped, translated, sixToFour := netip.AddrFrom16(plain.As16()), [16]byte{1: 0x64, 2: 0xff, 3: 0x9b}, [16]byte{0: 0x20, 1: 0x02}
		copy(translated[12:], b[:4])
		copy(sixToFour[2:], b[:4])
		for _, other := range []netip.Addr{mapped, mapped.WithZone("lo"), netip.AddrFrom16(translated), netip.AddrFrom16(sixToFour)} {
			if address.Public(other) != address.Public(plain) || address.Permitted(other, allow) != address.Permitted(plain, allow) {
				t.Errorf("%s is not treated as %s", other, plain)
			}
		}
	})
}
