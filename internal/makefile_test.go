package internal_test

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// `make help` lists targets by their comments.
func TestEveryTargetIsPhonyAndExplained(t *testing.T) {
	text, err := os.ReadFile("../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	phony := strings.Fields(regexp.MustCompile(`(?m)^\.PHONY:(.*)$`).FindStringSubmatch(string(text))[1])
	var targets []string
	for _, m := range regexp.MustCompile(`(?m)^([a-z][a-z0-9-]*):(.*)$`).FindAllStringSubmatch(string(text), -1) {
		targets = append(targets, m[1])
		if !strings.Contains(m[2], "## ") {
			t.Errorf("the target %s has no comment after ##", m[1])
		}
		if !slices.Contains(phony, m[1]) {
			t.Errorf(".PHONY does not list %s", m[1])
		}
	}
	for _, name := range phony {
		if !slices.Contains(targets, name) {
			t.Errorf(".PHONY lists %s, which is no target", name)
		}
	}
}
