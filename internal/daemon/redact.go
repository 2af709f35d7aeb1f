package daemon

import (
	"encoding/json"
	"net/url"
	"regexp"
	"strconv"
	"strings"
)

// redacted replaces a secret in a text.
const redacted = "REDACTED"

// minSecret is the length of the shortest secret that is searched for: shorter ones
// would match parts of words.
const minSecret = 4

var (
	tokenPattern    = regexp.MustCompile(`(ltn_|lti_)[A-Za-z0-9]{8,}`)
	userinfoPattern = regexp.MustCompile(`://[^/\s"'@]+@`)
	bearerPattern   = regexp.MustCompile(`(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{8,}`)
)

// redactor removes secrets from texts: known ones, also as logs and JSON quote them, and
// all that have the form of a token, of an invitation or of the user information of a
// URL. The parts of the platform write no secret; the redactor guards against errors of
// libraries that quote their input.
type redactor struct{ known *strings.Replacer }

func newRedactor(secrets []string) redactor {
	var pairs []string
	for _, s := range secrets {
		if len(s) < minSecret {
			continue
		}
		for _, form := range []string{s, inQuotes(strconv.Quote(s)), inQuotes(jsonOf(s))} {
			pairs = append(pairs, form, redacted)
		}
	}
	return redactor{strings.NewReplacer(pairs...)}
}

// inQuotes returns a quoted text without its quotes.
func inQuotes(text string) string { return text[1 : len(text)-1] }

// jsonOf returns a text as [encoding/json] writes it.
func jsonOf(text string) string {
	b, _ := json.Marshal(text) // a text has no error
	return string(b)
}

func (r redactor) redact(text string) string {
	text = r.known.Replace(text)
	text = tokenPattern.ReplaceAllString(text, "${1}"+redacted)
	text = userinfoPattern.ReplaceAllString(text, "://"+redacted+"@")
	return bearerPattern.ReplaceAllString(text, "$1 "+redacted)
}

// headerSecrets returns the values of the header fields that exporters of
// OpenTelemetry send, which authenticate them.
func headerSecrets(getenv func(string) string) (secrets []string) {
	if getenv == nil {
		return nil
	}
	for _, name := range []string{"OTEL_EXPORTER_OTLP_HEADERS", "OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_METRICS_HEADERS", "OTEL_EXPORTER_OTLP_LOGS_HEADERS"} {
		for pair := range strings.SplitSeq(getenv(name), ",") {
			_, value, _ := strings.Cut(pair, "=")
			value = strings.TrimSpace(value)
			secrets = append(secrets, value)
			if decoded, err := url.PathUnescape(value); err == nil {
				secrets = append(secrets, decoded)
			}
		}
	}
	return secrets
}
