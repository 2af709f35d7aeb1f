package config_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/lateen-dev/lateen/internal/config"
)

// Every setting that takes any text is set to a URL with secrets in all of its parts.
func TestShownSettingsContainNoSecret(t *testing.T) {
	for _, url := range []string{
		"postgres://lateen:hunter%2Ftwo@db.example.com/shop?sslmode=require&password=hunter-three",
		"https://hunter-four@registry.example.com/?_authToken=hunter-five#hunter-six",
		"postgres://lateen:hunter seven@[broken",
		"//lateen:hunter-eight@registry.example.com/",
		"lateen:hunter-nine@registry.example.com",
	} {
		c := config.Default(func(string) string { return "" })
		for _, k := range c.Keys() {
			_ = k.Value.Set(url) // other settings refuse it
		}
		found := 0
		for _, s := range c.Shown() {
			if strings.Contains(s.Value, "hunter") {
				t.Errorf("%s is shown as %s", s.Name, s.Value)
			}
			if strings.Contains(s.Value, "REDACTED") {
				found++
			}
		}
		if found < 2 {
			t.Errorf("%s is in %d settings, but at least --database and --registry take it", url, found)
		}
	}
}

func TestShownSettingsKeepTheRest(t *testing.T) {
	c := config.Default(func(string) string { return "" })
	c.Database, c.Queue, c.Data = "postgres://lateen:hunter2@db.example.com:5433/shop?sslmode=require", 7, "/srv/lateen@home"
	for _, want := range []config.Setting{
		{Name: "database", Value: "postgres://REDACTED@db.example.com:5433/shop?sslmode=require", Changed: true},
		{Name: "queue", Value: "7", Changed: true},
		{Name: "data", Value: "/srv/lateen@home", Changed: true},
		{Name: "domain", Value: "localhost"},
		{Name: "registry", Value: "https://registry.npmjs.org/"},
	} {
		if !slices.Contains(c.Shown(), want) {
			t.Errorf("%+v is not among %+v", want, c.Shown())
		}
	}
}

func TestSecretsOfSettingsAreDecodedAndAsWritten(t *testing.T) {
	c := config.Default(func(string) string { return "" })
	c.Database = "postgres://lateen:hunter%2Ftwo@db.example.com/shop?password=three"
	if got := c.Secrets(); !slices.Equal(got, []string{"hunter/two", "hunter%2Ftwo", "three"}) {
		t.Errorf("got %q", got)
	}
}
