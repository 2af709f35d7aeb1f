//go:build e2e

package e2e_test

import (
	"strings"
	"testing"
)

// example is an application with the checks of its features.
type example struct {
	name  string
	check func(t *testing.T, s site)
}

// examples are the applications in examples/ with their checks, and those of
// testdata/apps whose frameworks have no example.
var examples = []example{
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

func TestExampleServesItsFeatures(t *testing.T) {
	run := examples
	if *elsewhere != "" {
		run = others(t)
	}
	for _, example := range run {
		t.Run(example.name, func(t *testing.T) {
			t.Parallel()
			p := common(t)
			name := strings.ReplaceAll(example.name, ".", "-")
			t.Run("deployed by the vercel CLI", func(t *testing.T) {
				dir := project(t, example.name, name+"-by-vercel", "preview")
				cli := vercel(t, p, dir)
				cli.run("link", "--yes")
				example.check(t, cli.deploy("deploy", "--prebuilt", "--yes"))
			})
			t.Run("deployed by the lateen CLI", func(t *testing.T) {
				dir := project(t, example.name, name+"-by-lateen", "preview")
				example.check(t, lateenCLI(t, p, dir).deploy("deploy"))
			})
		})
	}
}
