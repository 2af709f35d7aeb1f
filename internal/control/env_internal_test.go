package control

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/lateen-dev/lateen"
)

// Environment variables are text: the limit of 2,048 bytes does not split a
// character (RFC 3629).
func TestALongCommitMessageIsCutBetweenCharacters(t *testing.T) {
	for _, message := range []string{strings.Repeat("x", 3000), "x" + strings.Repeat("é", 2000), strings.Repeat("€", 2000), "xx" + strings.Repeat("😀", 1000), "short"} {
		d := &lateen.Deployment{Git: &lateen.GitMetadata{CommitMessage: message}}
		got := gitEnv(d)["VERCEL_GIT_COMMIT_MESSAGE"]
		if !utf8.ValidString(got) || !strings.HasPrefix(message, got) || len(got) < min(len(message), 2048-3) || len(got) > 2048 {
			t.Errorf("of %d bytes %d are left, valid UTF-8: %v", len(message), len(got), utf8.ValidString(got))
		}
	}
}
