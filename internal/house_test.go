package internal_test

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// The size budgets. Split a file or package that exceeds its budget.
const (
	maxFileLines    = 600
	maxPackageLines = 5000
)

func TestFilesAndPackagesStayWithinTheirBudget(t *testing.T) {
	lines := map[string]int{}
	walkGo(t, func(file, pkg string) {
		if strings.HasSuffix(file, "_test.go") {
			return
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		n := bytes.Count(text, []byte{'\n'})
		if n > maxFileLines {
			t.Errorf("%s has %d lines; %d is the budget", file, n, maxFileLines)
		}
		lines[pkg] += n
	})
	for pkg, n := range lines {
		if n > maxPackageLines {
			t.Errorf("package %s has %d lines; %d is the budget", pkg, n, maxPackageLines)
		}
	}
}

func TestEveryPackageIsIntroducedOnceAndInArchitecture(t *testing.T) {
	architecture, err := os.ReadFile("../ARCHITECTURE.md")
	if err != nil {
		t.Fatal(err)
	}
	intros := map[string]int{}
	walkGo(t, func(file, pkg string) {
		if strings.HasSuffix(file, "_test.go") {
			return
		}
		intros[pkg] += 0
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments|parser.PackageClauseOnly)
		if err != nil {
			t.Fatal(err)
		}
		if f.Doc != nil {
			intros[pkg]++
		}
	})
	for pkg, n := range intros {
		if n != 1 {
			t.Errorf("package %q has %d package comments, want 1", pkg, n)
		}
		if pkg != "" && !isMainOrKit(pkg) && !bytes.Contains(architecture, []byte("`"+pkg+"`")) {
			t.Errorf("ARCHITECTURE.md does not mention `%s`", pkg)
		}
	}
}

func TestNamesDescribeTheContent(t *testing.T) {
	vague := []string{"util", "utils", "helper", "helpers", "common", "types", "misc", "base", "manager"}
	walkGo(t, func(file, pkg string) {
		for _, name := range []string{path.Base(pkg), strings.TrimSuffix(path.Base(file), ".go")} {
			if slices.Contains(vague, name) {
				t.Errorf("%s: %q does not describe the content", file, name)
			}
		}
	})
}

func TestTestsDoNotSleepOnTheRealClock(t *testing.T) {
	walkGo(t, func(file, _ string) {
		if !strings.HasSuffix(file, "_test.go") {
			return
		}
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		bubble := slices.ContainsFunc(f.Imports, func(i *ast.ImportSpec) bool { return i.Path.Value == `"testing/synctest"` })
		ast.Inspect(f, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok || bubble {
				return true
			}
			if sel, ok := call.Fun.(*ast.SelectorExpr); ok && sel.Sel.Name == "Sleep" {
				if x, ok := sel.X.(*ast.Ident); ok && x.Name == "time" {
					t.Errorf("%s sleeps on the real clock; use a synctest bubble or wait for a condition", file)
				}
			}
			return true
		})
	})
}

func TestModuleReplacesNothing(t *testing.T) {
	mod, err := os.ReadFile("../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	if regexp.MustCompile(`(?m)^\s*replace\b`).Match(mod) {
		t.Error("go.mod has a replace: `go install` would ignore it")
	}
}
