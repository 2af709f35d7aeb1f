package framework

import (
	"os"
	"path/filepath"
	"testing"
)

func TestFrameworksAreRecognisedByTheirPackages(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`{"dependencies":{"next":"16","vite":"8"}}`:                    "nextjs",
		`{"devDependencies":{"@sveltejs/kit":"2","vite":"8"}}`:         "sveltekit-1",
		`{"dependencies":{"nuxt":"4","nitropack":"2"}}`:                "nuxtjs",
		`{"devDependencies":{"vite":"8"},"dependencies":{"hono":"4"}}`: "vite",
		`{"dependencies":{"left-pad":"1"}}`:                            "",
		`not JSON`:                                                     "",
		`[]`:                                                           "",
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "package.json"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if got := FrameworkOf(dir).Slug; got != want {
			t.Errorf("%s is %q, want %q", text, got, want)
		}
	}
	if got := FrameworkOf(t.TempDir()); got != (Framework{}) {
		t.Errorf("an empty directory is %v", got)
	}
}

func TestRemotesKeepNoPassword(t *testing.T) {
	t.Parallel()
	for remote, want := range map[string]string{
		"https://user:secret@example.com/a/b.git": "https://example.com/a/b.git",
		"https://example.com/a@b.git":             "https://example.com/a@b.git",
		"git@example.com:a/b.git":                 "git@example.com:a/b.git",
		"":                                        "",
	} {
		if got := withoutSecret(remote); got != want {
			t.Errorf("%q is told as %q, want %q", remote, got, want)
		}
	}
}
