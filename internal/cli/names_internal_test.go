package cli

import (
	"strings"
	"testing"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/client"
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

func TestDeploymentsAreNamedByWhatPeoplePaste(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"http://shop.localhost:8080/a?b": "shop.localhost:8080", "https://shop.example.com": "shop.example.com",
		"shop.localhost": "shop.localhost", "shop.localhost/": "shop.localhost", "dpl_1": "dpl_1",
	} {
		if got := host(text); got != want {
			t.Errorf("host(%q) is %q, want %q", text, got, want)
		}
	}
	d := &client.Deployment{SiteURL: "http://shop-1-team.localhost:8080"}
	d.Host = "shop-1-team.localhost"
	if got := urlOf(d, "shop.localhost"); got != "http://shop.localhost:8080" {
		t.Error(got)
	}
}

func TestMomentsAreAgoOrThen(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	s := newSession(State{Now: func() time.Time { return now }})
	for text, want := range map[string]time.Time{
		"30m": now.Add(-30 * time.Minute), "7d": now.AddDate(0, 0, -7), "0s": now, "2026-01-31T08:00:00Z": time.Date(2026, 1, 31, 8, 0, 0, 0, time.UTC),
		"2026-01-31": time.Date(2026, 1, 31, 0, 0, 0, 0, time.Local), "2026-01-31 08:30": time.Date(2026, 1, 31, 8, 30, 0, 0, time.Local),
	} {
		got, err := s.Moment("--since", text)
		if err != nil || !got.Time().Equal(want) {
			t.Errorf("%s is %s, %v; want %s", text, got.Time(), err, want)
		}
	}
	for _, text := range []string{"-5m", "tuesday", "d", "-1d", "2026-13-01"} {
		if _, err := s.Moment("--since", text); err == nil {
			t.Errorf("%q is taken for a time", text)
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

func TestOnlyRealLinksNameAProject(t *testing.T) {
	t.Parallel()
	if (*link)(nil).real() || (&link{Project: "prj_local", Team: "team_local"}).real() {
		t.Error("a link for builds without a server names a project")
	}
	if !(&link{Project: "prj_01m83pb2tss0hx1cfxd4c05sez", Team: "team_01m83p9460x738bqjt3k1tczew"}).real() {
		t.Error("a link does not name its project")
	}
}
