package daemon

import "testing"

func TestSecretsAreRemovedFromTexts(t *testing.T) {
	r := newRedactor([]string{"p@ss word", "abc", "", `a"quoted&secret`})
	for text, want := range map[string]string{
		`err="cannot connect: password p@ss word refused"`:          `err="cannot connect: password REDACTED refused"`,
		"token ltn_AbCdEfGh0123456789 is unknown":                   "token ltn_REDACTED is unknown",
		"invitation lti_AbCdEfGh0123456789 is used":                 "invitation lti_REDACTED is used",
		`err="a\"quoted&secret" {"err":"a\"quoted\u0026secret"}`:    `err="REDACTED" {"err":"REDACTED"}`,
		"GET https://user:hunter2@registry.example.com/next failed": "GET https://REDACTED@registry.example.com/next failed",
		"postgres://hunter2@db.example.com/shop":                    "postgres://REDACTED@db.example.com/shop",
		"Authorization: Bearer abcdef.123456":                       "Authorization: Bearer REDACTED",
		"path=/docs/@scope/page host=a.example.com alphabet":        "path=/docs/@scope/page host=a.example.com alphabet",
	} {
		if got := r.redact(text); got != want {
			t.Errorf("%q becomes %q, want %q", text, got, want)
		}
	}
}

func TestHeadersOfExportersAreSecrets(t *testing.T) {
	getenv := func(name string) string {
		return map[string]string{"OTEL_EXPORTER_OTLP_HEADERS": "api-key=hunter%20two, other = three"}[name]
	}
	r := newRedactor(headerSecrets(getenv))
	if got, want := r.redact("hunter%20two hunter two three"), "REDACTED REDACTED REDACTED"; got != want {
		t.Errorf("got %q", got)
	}
}
