package cli

import (
	"strings"
	"testing"

	"github.com/lateen-dev/lateen"
)

func TestDirectoriesBecomeNamesThatProjectsMayHave(t *testing.T) {
	t.Parallel()
	for dir, want := range map[string]string{
		"/srv/shop": "shop", "/srv/My Shop": "my-shop", "/srv/Größe--2": "gr-e-2", "/": "app", "/srv/...": "app", "/srv/日本": "app",
		"/srv/" + strings.Repeat("x", 200): strings.Repeat("x", 100), "/srv/-a_b.c-": "a_b.c",
	} {
		got := projectName(dir)
		if got != want {
			t.Errorf("%s is %q, want %q", dir, got, want)
		}
		if err := (&lateen.Project{Name: got}).Validate(); err != nil {
			t.Errorf("%s: %v", dir, err)
		}
	}
}

func TestEnvironmentsAreNotMisspelled(t *testing.T) {
	t.Parallel()
	for name, want := range map[lateen.Environment]lateen.Environment{
		"prodution": "production", "Production": "production", "productions": "production", "prevew": "preview", "previwe": "preview", "devlopment": "development", "developmentxx": "development",
		"production": "", "preview": "", "development": "", "prod": "", "dev": "", "staging": "", "productionxxx": "", "": "", "größe": "",
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
