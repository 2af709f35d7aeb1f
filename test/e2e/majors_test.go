//go:build e2e

package e2e_test

import (
	"flag"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// nightly are applications that take too long to build for every change.
var nightly = []example{
	{"analog", checkAnalog},
}

// elsewhere is a folder of examples that were built with other versions of their
// frameworks: nextjs-15 and the like, by scripts/majors.sh.
var elsewhere = flag.String("examples", "", "the `folder` whose builds are tested in place of the examples' own")

// otherwise are the requests of a check that an older version answers in another way, for
// a reason of its own, by the version.
var otherwise = map[string][]string{
	"sveltekit-5": {"a parameter only the platform may set"}, // its adapter writes no route that removes __pathname
	"sveltekit-4": {"a parameter only the platform may set"},
}

// tested is the name of the example that t is about, with its version.
func tested(t *testing.T) string {
	t.Helper()
	_, name, _ := strings.Cut(t.Name(), "/")
	name, _, _ = strings.Cut(name, "/")
	return name
}

var version = regexp.MustCompile(`-[0-9.]+$`)

// others are the examples that were built elsewhere.
func others(t *testing.T) []example {
	t.Helper()
	entries, err := os.ReadDir(*elsewhere)
	if err != nil {
		t.Fatal(err)
	}
	var found []example
	for _, entry := range entries {
		name := version.ReplaceAllString(entry.Name(), "")
		for _, example := range slices.Concat(examples, nightly) {
			if example.name == name {
				example.name = entry.Name()
				found = append(found, example)
			}
		}
	}
	if len(found) == 0 {
		t.Fatalf("%s has no examples: run scripts/majors.sh", *elsewhere)
	}
	return found
}
