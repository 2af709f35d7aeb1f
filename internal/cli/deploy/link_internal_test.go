package deploy

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
