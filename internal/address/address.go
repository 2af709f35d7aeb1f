// Package address classifies network addresses as public or not, for code that
// connects to destinations that users or requests choose.
package address

import (
	"net/netip"
	"slices"
	"strings"
)

// special are the networks that are not part of the public Internet (RFC 6890 and the
// IANA registries it created), and addresses of cloud metadata services.
var special = prefixes( //nolint:gochecknoglobals // a constant in all but name
	"0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "168.63.129.16/32", "169.254.0.0/16", "172.16.0.0/12",
	"192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24",
	"224.0.0.0/4", "240.0.0.0/4",
	"2001::/23", "2001:db8::/32", "3fff::/20",
)

// unicast is the IPv6 network from which public addresses are allocated.
var unicast = netip.MustParsePrefix("2000::/3") //nolint:gochecknoglobals // a constant in all but name

// Networks whose addresses carry an IPv4 address: NAT64 (RFC 6052) in their
// last four bytes, 6to4 (RFC 3056) behind the first two.
var (
	nat64   = netip.MustParsePrefix("64:ff9b::/96") //nolint:gochecknoglobals // a constant in all but name
	sixToIV = netip.MustParsePrefix("2002::/16")    //nolint:gochecknoglobals // a constant in all but name
)

// Functions are the loopback addresses from which functions call the platform that
// they run on. Such an address must never make a client trusted.
var Functions = netip.MustParsePrefix("127.198.0.0/16") //nolint:gochecknoglobals // a constant in all but name

func prefixes(texts ...string) []netip.Prefix {
	list := make([]netip.Prefix, len(texts))
	for i, text := range texts {
		list[i] = netip.MustParsePrefix(text)
	}
	return list
}

// Canonical returns ip in canonical form: without a zone, and an IPv4-mapped IPv6
// address as the IPv4 address.
func Canonical(ip netip.Addr) netip.Addr { return ip.WithZone("").Unmap() }

// Inner returns the IPv4 address that a NAT64 or 6to4 address leads to.
func Inner(ip netip.Addr) (inner netip.Addr, ok bool) {
	ip = Canonical(ip)
	b := ip.As16()
	switch {
	case nat64.Contains(ip):
		return netip.AddrFrom4([4]byte(b[12:])), true
	case sixToIV.Contains(ip):
		return netip.AddrFrom4([4]byte(b[2:6])), true
	default:
		return netip.Addr{}, false
	}
}

// Public reports whether ip is part of the public Internet. A NAT64 or 6to4 address is
// public if the IPv4 address that it leads to is.
func Public(ip netip.Addr) bool {
	ip = Canonical(ip)
	if inner, ok := Inner(ip); ok {
		return Public(inner)
	}
	switch {
	case !ip.IsValid(), ip.Is6() && !unicast.Contains(ip):
		return false
	default:
		return !within(ip, special)
	}
}

// Permitted reports whether ip is public, or allow contains ip or the IPv4 address that
// it leads to.
func Permitted(ip netip.Addr, allow []netip.Prefix) bool {
	ip = Canonical(ip)
	if Public(ip) || within(ip, allow) {
		return true
	}
	inner, ok := Inner(ip)
	return ok && within(inner, allow)
}

func within(ip netip.Addr, list []netip.Prefix) bool {
	return slices.ContainsFunc(list, func(p netip.Prefix) bool { return p.Contains(ip) })
}

// IsLocalhost reports whether a host name is localhost or below it: a name of the machine
// that looks it up (RFC 6761, section 6.3).
func IsLocalhost(name string) bool {
	name = strings.TrimSuffix(strings.ToLower(name), ".")
	return name == "localhost" || strings.HasSuffix(name, ".localhost")
}
