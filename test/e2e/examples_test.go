//go:build e2e

package e2e_test

import "testing"

// examples are the applications in examples/ and what each of them shows, with those of
// testdata/apps whose frameworks have no example.
var examples = []struct {
	name  string
	check func(t *testing.T, s site)
}{
	{"nextjs", checkNextjs},
	{"functions", checkFunctions},
	{"sveltekit", checkSvelteKit},
	{"astro", checkAstro},
	{"nuxt", checkNuxt},
	{"react-router", checkReactRouter},
	{"tanstack-start", checkTanStackStart},
	{"solid-start", checkSolidStart},
	{"qwik-city", checkQwikCity},
	{"nitro", checkNitro},
	{"hono", checkHono},
	{"static", checkStatic},
	{"runtimes", checkRuntimes},
}

func TestExampleServesWhatItWasBuiltToShow(t *testing.T) {
	for _, example := range examples {
		t.Run(example.name, func(t *testing.T) {
			t.Parallel()
			p := common(t)
			t.Run("deployed by the vercel CLI", func(t *testing.T) {
				dir := project(t, example.name, example.name+"-by-vercel", "preview")
				cli := vercel(t, p, dir)
				cli.run("link", "--yes")
				example.check(t, cli.deploy("deploy", "--prebuilt", "--yes"))
			})
			t.Run("deployed by the lateen CLI", func(t *testing.T) {
				dir := project(t, example.name, example.name+"-by-lateen", "preview")
				example.check(t, lateenCLI(t, p, dir).deploy("deploy"))
			})
		})
	}
}
