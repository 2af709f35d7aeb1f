package header

import "strings"

// HostOnly returns values of Set-Cookie without a Domain attribute (RFC
// 6265, section 5.2.3) that is the platform's domain or a parent of it: browsers would
// send such a cookie to the API and to every other site, which have other owners. The
// cookie becomes a host-only cookie, as browsers do for domains on the Public Suffix
// List. Other values are returned unchanged.
func HostOnly(cookies []string, platform string) []string {
	for i, cookie := range cookies {
		var kept []string
		parts := strings.Split(cookie, ";")
		for n, part := range parts {
			if n == 0 || !sharesDomain(part, platform) {
				kept = append(kept, part)
			}
		}
		if len(kept) < len(parts) {
			cookies = append([]string(nil), cookies...) // the slice may be shared
			cookies[i] = strings.Join(kept, ";")
		}
	}
	return cookies
}

// sharesDomain reports whether a cookie's attribute is a Domain that is the platform's
// domain or a parent of it.
func sharesDomain(attribute, platform string) bool {
	name, value, _ := strings.Cut(attribute, "=")
	if !strings.EqualFold(strings.Trim(name, " \t"), "Domain") {
		return false
	}
	domain := strings.ToLower(strings.TrimPrefix(strings.Trim(value, " \t"), "."))
	return domain != "" && strings.HasSuffix("."+platform, "."+domain)
}
