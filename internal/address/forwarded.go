package address

import (
	"net/netip"
	"slices"
	"strings"
)

// Forwarded returns the client of a request that a trusted proxy at peer passed on with
// those values of X-Forwarded-For. Each proxy appends the address of its peer, so the
// client is the last address that is not a trusted proxy. An element may have a port.
// Forwarded ignores an element that is no address and all elements before it.
func Forwarded(peer netip.Addr, values []string, trusts func(netip.Addr) bool) netip.Addr {
	client := peer
	for _, hop := range slices.Backward(strings.Split(strings.Join(values, ","), ",")) {
		ip, ok := node(strings.TrimSpace(hop))
		if !ok {
			break
		}
		if client = ip; !trusts(client) {
			break
		}
	}
	return client
}

// node reads an address in the forms that proxies write: with or without a port, and
// for IPv6 with or without brackets.
func node(text string) (ip netip.Addr, ok bool) {
	if with, err := netip.ParseAddrPort(text); err == nil {
		return Canonical(with.Addr()), true
	}
	ip, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(text, "["), "]"))
	return Canonical(ip), err == nil
}

// Forwarding returns the value of the field Forwarded (RFC 7239 §4) for a client at ip,
// "" if the address is unknown, that requests host by the protocol proto.
func Forwarding(ip, host, proto string) string {
	switch {
	case ip == "":
		ip = "unknown"
	case strings.Contains(ip, ":"): // §6
		ip = `"[` + ip + `]"`
	}
	if strings.ContainsAny(host, `"\`) {
		host = strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(host)
	}
	return "for=" + ip + `;host="` + host + `";proto=` + proto
}
