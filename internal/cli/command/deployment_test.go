package command_test

import (
	"testing"

	"github.com/lateen-dev/lateen/client"
	"github.com/lateen-dev/lateen/internal/cli/command"
)

func TestDeploymentsAreNamedByWhatPeoplePaste(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"http://shop.localhost:8080/a?b": "shop.localhost:8080", "https://shop.example.com": "shop.example.com",
		"shop.localhost": "shop.localhost", "shop.localhost/": "shop.localhost", "dpl_1": "dpl_1",
	} {
		if got := command.Host(text); got != want {
			t.Errorf("host(%q) is %q, want %q", text, got, want)
		}
	}
	d := &client.Deployment{SiteURL: "http://shop-1-team.localhost:8080"}
	d.Host = "shop-1-team.localhost"
	if got := command.URLOf(d, "shop.localhost"); got != "http://shop.localhost:8080" {
		t.Error(got)
	}
}
