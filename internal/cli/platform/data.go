package platform

import (
	"os"
	"slices"
	"strings"

	"github.com/lateen-dev/lateen/internal/cli/command"
)

// checkData returns an error if dir has files and none of them is the platform's. The
// platform creates, empties and removes directories with common names in its data
// directory, such as `run`, `cache` and `logs`.
func checkData(dir string) error {
	entries, _ := os.ReadDir(dir) // of a directory that cannot be read, the start reports the reason
	entries = slices.DeleteFunc(entries, func(e os.DirEntry) bool {
		return strings.HasPrefix(e.Name(), ".") || e.Name() == "lost+found"
	})
	if len(entries) == 0 || slices.ContainsFunc(entries, isPart) {
		return nil
	}
	return command.ErrUsage.With("%s has files, and none of them is a platform's", dir).
		WithHint("set --data to a directory that is empty, or does not exist")
}

// isPart reports whether an entry has a name that only a platform gives. Every data
// directory has one, every backup, and a directory that was given runtimes before its
// first start.
func isPart(e os.DirEntry) bool {
	return slices.Contains([]string{"lateen.db", "lock", "worker.lock", "artifacts", "key", "token", "runtimes"}, e.Name())
}
