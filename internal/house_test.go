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

// The size budgets. Split a file, package or type that exceeds its budget.
const (
	maxFileLines    = 600
	maxPackageLines = 5000
	maxMethods      = 40
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

// large are the types with more methods than the budget: a type here has to be split
// before it gets more.
var large = map[string]bool{
	"client Client": true, "internal/control Control": true, "internal/store Queries": true,
}

func TestTypesStayWithinTheirBudgetOfMethods(t *testing.T) {
	methods := map[string]int{}
	walkGo(t, func(file, pkg string) {
		if strings.HasSuffix(file, "_test.go") || isMainOrKit(pkg) {
			return
		}
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv != nil {
				methods[pkg+" "+receiver(fn.Recv.List[0].Type)]++
			}
		}
	})
	for name, n := range methods {
		if n > maxMethods && !large[name] {
			t.Errorf("type %s has %d methods; %d is the budget", name, n, maxMethods)
		}
	}
}

// receiver returns the name of a receiver's type.
func receiver(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.StarExpr:
		return receiver(e.X)
	case *ast.IndexExpr:
		return receiver(e.X)
	case *ast.IndexListExpr:
		return receiver(e.X)
	case *ast.Ident:
		return e.Name
	default:
		return ""
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
