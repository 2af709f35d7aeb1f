package command

import (
	"runtime"
	"runtime/debug"
	"strings"
)

// Build describes the build of a binary.
type Build struct {
	Version  string `json:"version"`          // of the module: v1.2.3, or dev
	Commit   string `json:"commit,omitempty"` // of the repository, whole
	Date     string `json:"date,omitempty"`   // of the commit, RFC 3339
	Modified bool   `json:"modified"`         // the working tree had changes
	Go       string `json:"go"`
	Platform string `json:"platform"` // linux/amd64
}

// ReadBuild returns the build of this binary.
func ReadBuild() Build {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		info = &debug.BuildInfo{}
	}
	return buildOf(info)
}

func buildOf(info *debug.BuildInfo) Build {
	b := Build{Version: info.Main.Version, Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	if b.Version == "" || b.Version == "(devel)" || strings.HasPrefix(b.Version, "v0.0.0-") {
		b.Version = "dev"
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Commit = s.Value
		case "vcs.time":
			b.Date = s.Value
		case "vcs.modified":
			b.Modified = s.Value == "true"
		}
	}
	return b
}

// String is one line: lateen dev (3f2a91c, 2026-11-23, go1.26.8, linux/amd64).
func (b Build) String() string {
	var facts []string
	if b.Commit != "" {
		commit := b.Commit[:min(len(b.Commit), 12)]
		if b.Modified {
			commit += " modified"
		}
		facts = append(facts, commit)
	}
	if date, _, _ := strings.Cut(b.Date, "T"); date != "" {
		facts = append(facts, date)
	}
	facts = append(facts, b.Go, b.Platform)
	return "lateen " + b.Version + " (" + strings.Join(facts, ", ") + ")"
}
