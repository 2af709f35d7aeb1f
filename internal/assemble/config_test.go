package assemble_test

import (
	"slices"
	"strings"
	"testing"
)

func TestTheBuildLogNamesConfigurationWithoutEffect(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	notices := func(config []string, files map[string]string) []string {
		t.Helper()
		src := p.upload(files)
		src.Config = config
		p.mustAssemble(src)
		return slices.DeleteFunc(slices.Clone(p.lines), func(line string) bool { return !strings.HasPrefix(line, "Notice: ") })
	}
	files := map[string]string{
		".vercel/output/config.json":                          `{"version":3,"images":{"sizes":[64],"minimumCacheTTL":60}}`,
		".vercel/output/builds.json":                          `{}`,
		".vercel/output/functions/api/a.func/.vc-config.json": `{"runtime":"nodejs24.x","handler":"index.js","launcherType":"Nodejs","regions":["fra1"]}`,
		".vercel/output/functions/api/a.func/index.js":        "",
		".vercel/output/functions/api/b.func/.vc-config.json": `{"runtime":"edge","entrypoint":"index.js","regions":"iad1"}`,
		".vercel/output/functions/api/b.func/index.js":        "",
		".vercel/output/functions/api/c.func/.vc-config.json": `{"runtime":"edge","entrypoint":"index.js","regions":[]}`,
		".vercel/output/functions/api/c.func/index.js":        "",
	}
	config := []string{"$schema", "regions", "nonsense", "bulkRedirectsPath", "headers", "functions", "framework", "crons"}
	want := []string{
		"Notice: images are not resized here: /_next/image and /_vercel/image answer 400. Let the framework serve them as they are (Next.js: `images.unoptimized`)",
		"Notice: regions of /api/a, /api/b have no effect: there is one region",
		"Notice: bulkRedirectsPath of vercel.json has no effect: write these redirects as `redirects`",
		"Notice: regions of vercel.json has no effect: there is one region",
		"Notice: vercel.json: nothing reads nonsense",
	}
	if got := notices(config, files); !slices.Equal(got, want) {
		t.Errorf("the notices are\n%s", strings.Join(got, "\n"))
	}
	src := p.parts(pack(t, entry{name: ".vercel/output/config.json", content: `{"version":3}`}, entry{name: ".vercel/output/builds.json", content: `{}`}), 2)
	src.Config = []string{"headers"}
	if p.mustAssemble(src); strings.Contains(strings.Join(p.lines, "\n"), "Notice: ") {
		t.Errorf("the build log of an archive is %q", p.lines)
	}
	delete(files, ".vercel/output/builds.json")
	got := notices(config, files)
	if last := got[len(got)-1]; !strings.HasPrefix(last, "Notice: crons, functions, headers of vercel.json may have no effect: `vercel build` reads that file") {
		t.Errorf("of an output that `vercel build` did not make, the last notice is %s", last)
	}
	plain := map[string]string{".vercel/output/config.json": `{"version":3}`, ".vercel/output/builds.json": `{}`}
	if got := notices([]string{"$schema", "headers", "crons", "buildCommand"}, plain); len(got) > 0 {
		t.Errorf("nothing is without effect, and the notices are %q", got)
	}
}
