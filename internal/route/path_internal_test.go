package route

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestCanonical(t *testing.T) {
	for raw, want := range map[string]string{
		"/":              "/",
		"/a/b":           "/a/b",
		"/%61%2D%7e":     "/a-~",
		"/%2f%5C%3f%23":  "/%2F%5C%3F%23",
		"/%25%2541":      "/%25%2541",
		"/a%":            "/a%25",
		"/a%4":           "/a%254",
		"/a%zz":          "/a%25zz",
		`/a\b`:           "/a%5Cb",
		"/a\x00\x1f\x7f": "/a%00%1F%7F",
		"/%C3%A9":        "/é",
		"/\xc3\xa9":      "/é",
		"/%C3":           "/%C3",
		"/%C3/%A9":       "/%C3/%A9",
		"//a///b/":       "/a/b/",
		"/a/./b/../c":    "/a/c",
		"/a/..":          "/",
		"/a/b/..":        "/a/",
		"/a/b/.":         "/a/b/",
		"/../../a":       "/a",
		"/%2e%2E/a":      "/a",
		"/...":           "/...",
		"/.a/..b":        "/.a/..b",
		"/a%20b":         "/a b",
		"/%40%3A%5B":     "/@:[",
		"/a%E2%80%A8b":   "/a%E2%80%A8b",
		"/a\u2029b":      "/a%E2%80%A9b",
	} {
		if got := canonical(raw); got != want {
			t.Errorf("canonical(%q) = %q, want %q", raw, got, want)
		}
	}
}

func FuzzCanonical(f *testing.F) {
	f.Add("/a%2Fb/../%C3%A9/\\x?y#z")
	f.Add("/%25%32%35/./%2e")
	f.Fuzz(func(t *testing.T, raw string) {
		s := newSubject(raw)
		if again := newSubject(s.path); again != s {
			t.Errorf("%q: %+v, again %+v", raw, s, again)
		}
		if back := canonical(s.encoded); back != s.path {
			t.Errorf("%q: %q encodes to %q, which is %q", raw, s.path, s.encoded, back)
		}
		if s.path[0] != '/' || strings.Contains(s.path, "//") || strings.ContainsAny(s.path, "?#\\\x00\r\n\u2028\u2029") || !utf8.ValidString(s.path) {
			t.Errorf("%q has the path %q", raw, s.path)
		}
		if strings.IndexFunc(s.encoded, func(r rune) bool { return r >= utf8.RuneSelf }) >= 0 || strings.ContainsAny(s.encoded, " \"<>") {
			t.Errorf("%q is encoded as %q", raw, s.encoded)
		}
		if strings.Contains(s.path+"/", "/../") || strings.Contains(s.path+"/", "/./") {
			t.Errorf("%q has dot segments: %q", raw, s.path)
		}
	})
}

func TestMergeQuery(t *testing.T) {
	for _, tt := range []struct{ first, second, want string }{
		{"", "", ""},
		{"a=1", "", "a=1"},
		{"", "a=1&a=2", "a=1&a=2"},
		{"a=1", "b", "a=1&b"},
		{"a=1", "b=&c", "a=1&b=&c"},
		{"a=1", "a=2", "a=1"},
		{"a=1", "%61=2&b=%20", "a=1&b=%20"},
		{"a+b=1", "a%20b=2&a+b=3", "a+b=1"},
		{"a", "a=1&&b", "a&b"},
		{"a=1", "A=2", "a=1&A=2"},
	} {
		if got := mergeQuery(tt.first, tt.second); got != tt.want {
			t.Errorf("mergeQuery(%q, %q) = %q, want %q", tt.first, tt.second, got, tt.want)
		}
	}
}
