package internal_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// TestTheNightlyRunsEveryFuzzTarget compares the fuzz targets that `make fuzz` runs with
// those that Go finds.
func TestTheNightlyRunsEveryFuzzTarget(t *testing.T) {
	var want []string
	walkGo(t, func(file, pkg string) {
		if !strings.HasSuffix(file, "_test.go") {
			return
		}
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && strings.HasPrefix(fn.Name.Name, "Fuzz") {
				want = append(want, "./"+pkg+" "+fn.Name.Name)
			}
		}
	})
	out, err := exec.CommandContext(t.Context(), "../scripts/fuzz.sh", "list").Output()
	if err != nil {
		t.Fatal(err)
	}
	got := strings.Split(strings.TrimSpace(string(out)), "\n")
	slices.Sort(got)
	slices.Sort(want)
	if len(want) == 0 || !slices.Equal(got, want) {
		t.Errorf("make fuzz runs %d targets:\n%s\nthe tree has %d:\n%s", len(got), strings.Join(got, "\n"), len(want), strings.Join(want, "\n"))
	}
}

// TestWorkflowsRunTheTargetsOfTheMakefile finds a job that no workflow runs any more.
func TestWorkflowsRunTheTargetsOfTheMakefile(t *testing.T) {
	for file, commands := range map[string][]string{
		"ci.yml":      {"run: .ci/run"},
		"nightly.yml": {"make setup nightly", "make fuzz", "make vulncheck", "make benchstat"},
		"release.yml": {"make release"},
	} {
		text, err := os.ReadFile("../.github/workflows/" + file)
		if err != nil {
			t.Fatal(err)
		}
		for _, command := range commands {
			if !strings.Contains(string(text), command) {
				t.Errorf("%s does not run %q", file, command)
			}
		}
	}
	text, err := os.ReadFile("../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), "\nnightly: build examples gates majors") {
		t.Error("make nightly does not run the gates and the older frameworks")
	}
}
