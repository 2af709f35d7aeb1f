package daemon

import (
	"net/url"
	"regexp"
	"strings"
)

// redacted replaces a secret in a text.
const redacted = "REDACTED"

// minSecret is the length of the shortest secret that is searched for: shorter ones
// would match parts of words.
const minSecret = 4

var (
	tokenPattern    = regexp.MustCompile(`ltn_[A-Za-z0-9]{8,}`)
	userinfoPattern = regexp.MustCompile(`://[^/\s"'@]+@`)
	bearerPattern   = regexp.MustCompile(`(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{8,}`)
)

// redactor removes secrets from texts: known ones, and all that have the form of a
// token or of the user information of a URL. The parts of the platform write no
// secret; the redactor guards against errors of libraries that quote their input.
type redactor struct{ known *strings.Replacer }

func newRedactor(secrets []string) redactor {
	var pairs []string
	for _, s := range secrets {
		if len(s) >= minSecret {
			pairs = append(pairs, s, redacted)
		}
	}
	return redactor{strings.NewReplacer(pairs...)}
}

func (r redactor) redact(text string) string {
	text = r.known.Replace(text)
	text = tokenPattern.ReplaceAllString(text, "ltn_"+redacted)
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
