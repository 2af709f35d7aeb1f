package internal_test

import (
	"bytes"
	"fmt"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// avoided matches words that replace a noun or that have a standard synonym.
// CONTRIBUTING.md explains the rule, docs/glossary.md lists the preferred terms.
var avoided = regexp.MustCompile(`(?i)\b(who|whoever|whom|what|whatever|nobody|somebody|everybody|anybody|anew|beneath|mend(s|ed|ing)?|in vain|for ever|heed(s|ed)?)\b`)

// wordsFile holds the number of lines with avoided words in each package and
// documentation page. A number may only fall.
const wordsFile = "testdata/words.txt"

func TestAvoidedWordsOnlyBecomeFewer(t *testing.T) {
	allowed := readWords(t)
	found := map[string][]string{}
	walkGo(t, func(file, pkg string) {
		for _, line := range commentsOf(t, file) {
			if avoided.MatchString(line) {
				found["go "+pkg] = append(found["go "+pkg], file+": "+line)
			}
		}
	})
	for _, pattern := range []string{"../*.md", "../docs/*.md", "../docs/how-to/*.md", "../docs/recipes/*.md", "../docs/adr/*.md", "../docs/reference/*.md"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			if filepath.Base(file) == "CHANGELOG.md" {
				continue // records the past in the terms of its time
			}
			for _, line := range linesOf(t, file) {
				if avoided.MatchString(line) {
					found["docs "+strings.TrimPrefix(file, "../")] = append(found["docs "+strings.TrimPrefix(file, "../")], file+": "+line)
				}
			}
		}
	}
	left := map[string]int{}
	for place, lines := range found {
		switch n := len(lines); {
		case *update && n <= allowed[place]:
			left[place] = n
		case n > allowed[place]:
			left[place] = allowed[place]
			t.Errorf("%s: %d lines have an avoided word, %d at most may; name the thing instead (docs/glossary.md):\n\t%s", place, n, allowed[place], strings.Join(lines, "\n\t"))
		}
	}
	for place, n := range allowed {
		if !*update && len(found[place]) < n {
			t.Errorf("%s: only %d lines have an avoided word, %s still allows %d; lower it with `make generate`", place, len(found[place]), wordsFile, n)
		}
	}
	if *update {
		writeWords(t, left)
	}
}

func commentsOf(t *testing.T, file string) (lines []string) {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	for _, group := range f.Comments {
		for _, comment := range group.List {
			lines = append(lines, strings.Split(comment.Text, "\n")...)
		}
	}
	return lines
}

func linesOf(t *testing.T, file string) []string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(string(text), "\n")
}

func readWords(t *testing.T) map[string]int {
	t.Helper()
	words := map[string]int{}
	for _, line := range linesOf(t, wordsFile) {
		place, number, ok := strings.Cut(line, ": ")
		if !ok {
			continue
		}
		n, err := strconv.Atoi(number)
		if err != nil {
			t.Fatal(err)
		}
		words[place] = n
	}
	return words
}

func writeWords(t *testing.T, words map[string]int) {
	t.Helper()
	var b bytes.Buffer

	for _, place := range slices.Sorted(maps.Keys(words)) {
		fmt.Fprintf(&b, "%s: %d\n", place, words[place])
	}
	if err := os.WriteFile(wordsFile, b.Bytes(), 0o644); err != nil { //nolint:gosec // part of the source tree
		t.Fatal(err)
	}
}
