package secret_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/lateen-dev/lateen/internal/secret"
)

func TestNewToken(t *testing.T) {
	pattern := regexp.MustCompile(`^ltn_[A-Za-z0-9]{40}$`)
	seen := map[string]bool{}
	var all strings.Builder
	for range 500 {
		token, hash := secret.NewToken()
		if !pattern.MatchString(token) || seen[token] || hash != secret.HashToken(token) {
			t.Fatalf("token %q with hash %q", token, hash)
		}
		seen[token] = true
		all.WriteString(token[4:])
	}
	for _, c := range "AZaz09" { // 20,000 characters have about 322 of each
		if n := strings.Count(all.String(), string(c)); n < 200 || n > 450 {
			t.Errorf("%c comes %d times in 20,000", c, n)
		}
	}
}

func TestHashToken(t *testing.T) {
	const want = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
	if got := secret.HashToken("abc"); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
