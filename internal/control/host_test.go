package control

import (
	"regexp"
	"strings"
	"testing"
)

func TestJoinMakesLabels(t *testing.T) {
	for _, tt := range []struct {
		first string
		rest  []string
		want  string
	}{
		{"shop", []string{"team"}, "shop-team"},
		{"shop", []string{"abc123def", "team"}, "shop-abc123def-team"},
		{strings.Repeat("a", 63), []string{"abc123def", "team"}, strings.Repeat("a", 48) + "-abc123def-team"},
		{strings.Repeat("a", 47) + "-" + strings.Repeat("b", 15), []string{"abc123def", "team"}, strings.Repeat("a", 47) + "-abc123def-team"},
		{strings.Repeat("a", 63), []string{"abc123def", strings.Repeat("t", 48)}, "aaaa-abc123def-" + strings.Repeat("t", 48)},
	} {
		if got := join(tt.first, tt.rest...); got != tt.want {
			t.Errorf("join(%q, %q) = %q, want %q", tt.first, tt.rest, got, tt.want)
		}
	}
}

func FuzzJoinMakesLabels(f *testing.F) {
	f.Add("shop", "team")
	f.Add(strings.Repeat("a-", 40), strings.Repeat("t", 48))
	label := regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)
	f.Fuzz(func(t *testing.T, first, team string) {
		if !label.MatchString(first) || !label.MatchString(team) || len(team) > 48 {
			t.Skip()
		}
		got := join(first, "abc123def", team)
		if !label.MatchString(got) || !strings.HasSuffix(got, "-abc123def-"+team) {
			t.Errorf("join(%q, …, %q) = %q", first, team, got)
		}
	})
}

func TestDigestOfIsALabelOfItsOwn(t *testing.T) {
	if digestOf("feature/a", 6) == digestOf("feature-a", 6) {
		t.Error("two branches have one name")
	}
	if got := digestOf("feature/a", 6); got != digestOf("feature/a", 6) || len(got) != 6 {
		t.Errorf("digestOf is %q", got)
	}
}

func TestGitEnvKnowsTheRepository(t *testing.T) {
	for remote, want := range map[string][3]string{
		"https://github.com/acme/shop.git":     {"github", "acme", "shop"},
		"git@github.com:acme/shop.git":         {"github", "acme", "shop"},
		"https://gitlab.com/acme/group/shop":   {"gitlab", "acme/group", "shop"},
		"https://example.com/acme/shop":        {},
		"ssh://git@bitbucket.org/acme/my.shop": {"bitbucket", "acme", "my.shop"},
	} {
		m := remotePattern.FindStringSubmatch(remote)
		var got [3]string
		if m != nil {
			got = [3]string{m[1], m[2], m[3]}
		}
		if got != want {
			t.Errorf("%s is %q, want %q", remote, got, want)
		}
	}
}
