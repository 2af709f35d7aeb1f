package address

import (
	"net/netip"
	"slices"
	"strings"
)

// Forwarded returns the client of a request that a trusted proxy at peer passed on
// with those values of X-Forwarded-For. Each proxy adds the address it saw at their
// end, so the client is the last one that is not itself a trusted proxy. An element
// may have a port; before one that is no address nothing counts.
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

// node reads an address as proxies write it: with or without a port, of IPv6 in
// brackets or not.
func node(text string) (ip netip.Addr, ok bool) {
	if with, err := netip.ParseAddrPort(text); err == nil {
		return Canonical(with.Addr()), true
	}
	ip, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(text, "["), "]"))
	return Canonical(ip), err == nil
}

// Forwarding is what Forwarded says of a request (RFC 7239 §4): the client's
// address, "" if that is not known, the host it asks and its protocol.
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
