package settings

import (
	"strings"
	"testing"

	"github.com/lateen-dev/lateen"
)

func TestEnvironmentsAreNotMisspelled(t *testing.T) {
	t.Parallel()
	for name, want := range map[lateen.Environment]lateen.Environment{
		"prodution": "production", "Production": "production", "productions": "production", "prevew": "preview", "previwe": "preview", "devlopment": "development", "developmentxx": "development",
		"prod":       "production",
		"production": "", "preview": "", "development": "", "dev": "", "products": "", "staging": "", "productionxxx": "", "": "", "größe": "",
	} {
		if got := misspelled(name); got != want {
			t.Errorf("%q is taken for %q, want %q", name, got, want)
		}
	}
}

// dotenv reads a value as the dotenv package does: the quotes say which
// escapes there are.
func dotenv(t *testing.T, text string) string {
	t.Helper()
	quote, inner := text[0], text[1:len(text)-1]
	if text[len(text)-1] != quote || strings.ContainsRune(inner, rune(quote)) && quote != '"' {
		t.Fatalf("%s is not one quoted value", text)
	}
	if quote == '"' {
		inner = strings.NewReplacer(`\n`, "\n", `\r`, "\r").Replace(inner)
	}
	return inner
}

func TestValuesSurviveTheirFile(t *testing.T) {
	t.Parallel()
	for _, value := range []string{
		"plain", "", "with space", "a=b#c", `"quoted"`, "it's", `back\slash`, "$HOME", "two\nlines", "-----BEGIN KEY-----\nabc+/=\n-----END KEY-----\n", `{"a":"it's"}`,
	} {
		if got := dotenv(t, envQuote(value)); got != value {
			t.Errorf("%q is written as %s and read as %q", value, envQuote(value), got)
		}
	}
}
