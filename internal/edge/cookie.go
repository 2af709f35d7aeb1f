package edge

import "strings"

// withoutSharedDomain returns values of Set-Cookie without the Domain attribute
// (RFC 6265, section 5.2.3) where that is the platform's domain or one above it:
// such a cookie would reach the API and every other site, which are not of the
// same people. It stays a cookie of its own host, as browsers have it for
// domains on the Public Suffix List. Values without one are returned as they are.
func withoutSharedDomain(cookies []string, platform string) []string {
	for i, cookie := range cookies {
		var kept []string
		parts := strings.Split(cookie, ";")
		for n, part := range parts {
			if n == 0 || !sharesDomain(part, platform) {
				kept = append(kept, part)
			}
		}
		if len(kept) < len(parts) {
			cookies = append([]string(nil), cookies...) // others may hold them
			cookies[i] = strings.Join(kept, ";")
		}
	}
	return cookies
}

// sharesDomain reports whether a cookie's attribute names the platform's domain
// or one above it.
func sharesDomain(attribute, platform string) bool {
	name, value, _ := strings.Cut(attribute, "=")
	if !strings.EqualFold(strings.Trim(name, " \t"), "Domain") {
		return false
	}
	domain := strings.ToLower(strings.TrimPrefix(strings.Trim(value, " \t"), "."))
	return domain != "" && strings.HasSuffix("."+platform, "."+domain)
}
