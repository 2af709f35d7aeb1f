// Package framework detects the framework, the commit and the configuration of a
// directory of source code.
package framework

import (
	"context"
	"os/exec"
	"strings"
	"time"

	"github.com/lateen-dev/lateen"
)

// Commit returns the checked-out commit of a directory, or nil outside of a Git
// repository and on machines without Git.
func Commit(ctx context.Context, dir string) *lateen.GitMetadata {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	git := func(args ...string) string {
		out, err := exec.CommandContext(ctx, "git", append([]string{"-C", dir, "-c", "core.fsmonitor=false"}, args...)...).Output() //nolint:gosec // fixed arguments and a directory
		if err != nil {
			return ""
		}
		return strings.TrimSpace(string(out))
	}
	commit := strings.SplitN(git("log", "-1", "--format=%H%n%an%n%ae%n%s"), "\n", 4)
	if len(commit) < 4 {
		return nil
	}
	facts := &lateen.GitMetadata{
		CommitSHA: commit[0], CommitAuthorName: commit[1], CommitAuthorEmail: commit[2], CommitMessage: commit[3],
		RemoteURL: withoutSecret(git("config", "--get", "remote.origin.url")),
		Dirty:     git("status", "--porcelain", "--untracked-files=no") != "",
	}
	if branch := git("symbolic-ref", "--short", "-q", "HEAD"); branch != "" {
		facts.CommitRef = branch
	}
	return facts
}

// withoutSecret removes the user information, which may contain a password, from a
// remote's URL.
func withoutSecret(remote string) string {
	scheme, rest, ok := strings.Cut(remote, "://")
	if !ok {
		return remote
	}
	authority, path, _ := strings.Cut(rest, "/")
	if at := strings.LastIndex(authority, "@"); at >= 0 {
		authority = authority[at+1:]
	}
	return scheme + "://" + authority + "/" + path
}
