package route

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"github.com/lateen-dev/lateen"
)

// localeRedirect returns the target to which l redirects the client: the entry of
// redirect for the language of the cookie, else for the first language of
// Accept-Language, by its weights, that has an entry ("fr-CA" finds "fr"), else for
// l.Default. It is "" if no entry is found or the client is already at the target.
// Entries on other hosts apply only if the request's own host belongs to a locale.
func (w *walk) localeRedirect(l *lateen.Locale) string {
	to, redirects := "", w.redirects(l)
	if l.Cookie != "" {
		to = redirectFor(redirects, w.cookie(l.Cookie))
	}
	if to == "" {
		for _, language := range acceptedLanguages(w.sent.header["Accept-Language"]) {
			if to = redirectFor(redirects, language); to != "" {
				break
			}
		}
	}
	if to == "" {
		to = redirects[l.Default]
	}
	if to == "" || w.isAt(to) {
		return ""
	}
	return to
}

// redirects returns the entries of l that apply to the request.
func (w *walk) redirects(l *lateen.Locale) map[string]string {
	if _, own := w.router.wildcards[w.hostname()]; own {
		return l.Redirect
	}
	here := map[string]string{}
	for locale, to := range l.Redirect {
		rest, absolute := cutScheme(to)
		if !absolute {
			here[locale] = to
			continue
		}
		if host, _, _ := strings.Cut(rest, "/"); hostOnly(host) == w.hostname() {
			return l.Redirect
		}
	}
	return here
}

// redirectFor looks up a language, and then the same with its last subtag cut off.
func redirectFor(redirects map[string]string, language string) string {
	for language != "" {
		for locale, to := range redirects {
			if strings.EqualFold(locale, language) {
				return to
			}
		}
		language = language[:max(0, strings.LastIndexByte(language, '-'))]
	}
	return ""
}

// isAt reports whether the request is for target or a path below it.
func (w *walk) isAt(target string) bool {
	if rest, ok := cutScheme(target); ok {
		host, path, _ := strings.Cut(rest, "/")
		if hostOnly(host) != w.hostname() {
			return false
		}
		target = "/" + path
	}
	target = strings.TrimSuffix(target, "/")
	rest, ok := strings.CutPrefix(w.at.path, target)
	return ok && (rest == "" || rest[0] == '/')
}

// acceptedLanguages returns the languages of an Accept-Language header, the most
// preferred first, without "*" and languages of weight 0.
func acceptedLanguages(lines []string) []string {
	type choice struct {
		language string
		weight   float64
	}
	var choices []choice
	for _, line := range lines {
		for item := range strings.SplitSeq(line, ",") {
			language, param, _ := strings.Cut(item, ";")
			c := choice{language: strings.TrimSpace(language), weight: 1}
			if q, ok := strings.CutPrefix(strings.TrimSpace(param), "q="); ok {
				c.weight, _ = strconv.ParseFloat(strings.TrimSpace(q), 64)
			}
			if c.language != "" && c.language != "*" && c.weight > 0 {
				choices = append(choices, c)
			}
		}
	}
	slices.SortStableFunc(choices, func(a, b choice) int { return cmp.Compare(b.weight, a.weight) })
	languages := make([]string, len(choices))
	for i, c := range choices {
		languages[i] = c.language
	}
	return languages
}

// cookie returns the value of the request's first cookie called name, or "".
func (w *walk) cookie(name string) string {
	for value := range cookies(w.sent.header["Cookie"], name) {
		return value
	}
	return ""
}

// cutScheme cuts http:// or https:// off an absolute URL.
func cutScheme(url string) (rest string, ok bool) {
	if rest, ok = strings.CutPrefix(url, "https://"); ok {
		return rest, true
	}
	return strings.CutPrefix(url, "http://")
}
