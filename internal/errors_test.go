package internal_test

import (
	"bytes"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the reference of errors")

const errorsPage = "../docs/reference/errors.md"

// declared is one error declaration in the source.
type declared struct{ code, reason, message, hint, where string }

// TestReferenceOfErrors collects all error declarations, checks that each reason is
// unique, and compares docs/reference/errors.md with them.
func TestReferenceOfErrors(t *testing.T) {
	found := map[string]declared{}
	walkGo(t, func(file, pkg string) {
		if strings.HasSuffix(file, "_test.go") || isMainOrKit(pkg) {
			return
		}
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range declarations(f) {
			d.where = file
			if other, taken := found[d.reason]; taken {
				t.Errorf("%s and %s both declare %q", file, other.where, d.reason)
			}
			if d.reason == "" || d.message == "" || d.code == "" {
				t.Errorf("%s declares %+v: an error has a code, a reason and a message", file, d)
			}
			found[d.reason] = d
		}
	})
	want := page(found)
	if *update {
		if err := os.WriteFile(errorsPage, want, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := os.ReadFile(errorsPage); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%s differs from the source (%v): run `make generate`", errorsPage, err)
	}
}

// declarations returns the errors that f declares as package variables.
func declarations(f *ast.File) []declared {
	var all []declared
	for _, decl := range f.Decls {
		gen, ok := decl.(*ast.GenDecl)
		if !ok || gen.Tok != token.VAR {
			continue
		}
		ast.Inspect(gen, func(n ast.Node) bool {
			lit, ok := n.(*ast.CompositeLit)
			if !ok || !isErrorType(lit.Type) {
				return true
			}
			var d declared
			for _, element := range lit.Elts {
				field, ok := element.(*ast.KeyValueExpr)
				if !ok {
					continue
				}
				switch name, _ := field.Key.(*ast.Ident); name.Name {
				case "Code":
					d.code = lastName(field.Value)
				case "Reason":
					d.reason = text(field.Value)
				case "Message":
					d.message = text(field.Value)
				case "Hint":
					d.hint = text(field.Value)
				}
			}
			all = append(all, d)
			return false
		})
	}
	return all
}

func isErrorType(e ast.Expr) bool {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name == "Error"
	case *ast.SelectorExpr:
		x, ok := e.X.(*ast.Ident)
		return ok && x.Name == "lateen" && e.Sel.Name == "Error"
	}
	return false
}

func lastName(e ast.Expr) string {
	if sel, ok := e.(*ast.SelectorExpr); ok {
		return sel.Sel.Name
	}
	if id, ok := e.(*ast.Ident); ok {
		return id.Name
	}
	return ""
}

// text returns the value of a string literal or of a concatenation of literals.
func text(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.BasicLit:
		s, _ := strconv.Unquote(e.Value)
		return s
	case *ast.BinaryExpr:
		return text(e.X) + text(e.Y)
	}
	return ""
}

func page(found map[string]declared) []byte {
	var b bytes.Buffer
	b.WriteString(`<!-- Written by ` + "`make generate`" + `; do not edit. -->

# Errors

Every error has a code, which tells a caller how to react, and a reason,
which identifies the error and never changes. The API sends the reason as
` + "`error.code`" + `; a site's response has it in capitals as ` + "`x-vercel-error`" + `.

| reason | code | message | remedy |
|---|---|---|---|
`)
	for _, reason := range slices.Sorted(maps.Keys(found)) {
		d := found[reason]
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", reason, d.code, cell(d.message), cell(d.hint))
	}
	return b.Bytes()
}

func cell(s string) string { return strings.ReplaceAll(s, "|", `\|`) }
