package internal_test

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// TestTheTestsThatSecurityNamesExist checks the references to tests in SECURITY.md,
// which names the tests of each promise.
func TestTheTestsThatSecurityNamesExist(t *testing.T) {
	text, err := os.ReadFile("../SECURITY.md")
	if err != nil {
		t.Fatal(err)
	}
	missing := map[string]bool{}
	for _, name := range regexp.MustCompile("`((?:Test|Fuzz)\\w+)`").FindAllSubmatch(text, -1) {
		missing[string(name[1])] = true
	}
	if len(missing) < 10 {
		t.Fatalf("SECURITY.md names %d tests", len(missing))
	}
	walkGo(t, func(file, _ string) {
		if !strings.HasSuffix(file, "_test.go") {
			return
		}
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for name := range missing {
			if strings.Contains(string(source), "func "+name+"(") {
				delete(missing, name)
			}
		}
	})
	for name := range missing {
		t.Errorf("there is no test %s", name)
	}
}
