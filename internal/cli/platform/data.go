package platform

import (
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/lateen-dev/lateen/internal/cli/command"
)

// checkData returns an error if dir has files and is not the platform's. The platform
// creates, empties and removes directories with common names in its data directory,
// such as `run`, `cache` and `logs`.
func checkData(dir string) error {
	entries, _ := os.ReadDir(dir) // of a directory that cannot be read, the start reports the reason
	entries = slices.DeleteFunc(entries, func(e os.DirEntry) bool {
		return strings.HasPrefix(e.Name(), ".") || e.Name() == "lost+found"
	})
	if len(entries) == 0 || isPlatform(dir, entries) {
		return nil
	}
	return command.ErrUsage.With("%s has files, and none of them is a platform's", dir).
		WithHint("set --data to a directory that is empty, or does not exist")
}

// isPlatform reports whether a directory with entries is a data directory or a backup:
// it has a part that only a platform makes or, before the first start has made one, no
// entry that is not a platform's.
func isPlatform(dir string, entries []os.DirEntry) bool {
	for _, name := range []string{"lateen.db", "worker.lock", "artifacts/identity"} {
		if info, err := os.Stat(filepath.Join(dir, name)); err == nil && info.Mode().IsRegular() {
			return true
		}
	}
	begun := false
	for _, e := range entries {
		switch e.Name() {
		case "lock", "artifacts", "key", "token", "runtimes":
			begun = true
		case "trees", "builds", "cache", "logs", "run", "histories", "archives", "demand.json", "authority.pem", "authority.pem.lock", "cleaned":
		default:
			return false
		}
	}
	return begun
}
