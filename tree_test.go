package lateen_test

import (
	"errors"
	"testing"

	"github.com/lateen-dev/lateen"
)

func TestTreeAcceptsLinksThatStayInside(t *testing.T) {
	file := func(path string) lateen.TreeEntry {
		return lateen.TreeEntry{Path: path, Digest: lateen.DigestOf(nil)}
	}
	link := func(path, target string) lateen.TreeEntry { return lateen.TreeEntry{Path: path, Link: target} }
	for name, test := range map[string]struct {
		entries []lateen.TreeEntry
		valid   bool
	}{
		"empty":                          {nil, true},
		"files":                          {[]lateen.TreeEntry{file("a/b"), file("a/[c]/..d")}, true},
		"link to a sibling":              {[]lateen.TreeEntry{file("a/b"), link("a/c", "b")}, true},
		"link to a directory above":      {[]lateen.TreeEntry{file("a/b"), link("a/c", "..")}, true},
		"link through another":           {[]lateen.TreeEntry{file("a/b/c"), link("d", "a/b"), link("e", "d/../b/c")}, true},
		"link to a missing file":         {[]lateen.TreeEntry{link("a", "b/c")}, true},
		"link out of the tree":           {[]lateen.TreeEntry{link("a/b", "../..")}, false},
		"link out of the tree by a link": {[]lateen.TreeEntry{link("a/b", ".."), link("c", "a/b/..")}, false},
		"link in a circle":               {[]lateen.TreeEntry{link("a", "b"), link("b", "a")}, false},
		"absolute link":                  {[]lateen.TreeEntry{link("a", "/a")}, false},
		"file below a link":              {[]lateen.TreeEntry{link("a", "b"), file("a/c")}, false},
		"same path twice":                {[]lateen.TreeEntry{file("a"), file("a")}, false},
	} {
		tree := &lateen.Tree{Entries: test.entries}
		if err := tree.Validate(); (err == nil) != test.valid || err != nil && !errors.Is(err, lateen.ErrTreeInvalid) {
			t.Errorf("%s: %v, want valid %v", name, err, test.valid)
		}
	}
}
