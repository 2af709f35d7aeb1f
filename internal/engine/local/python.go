package local

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/lateen-dev/lateen/internal/engine/local/process"
	"github.com/lateen-dev/lateen/internal/sandbox"
	"github.com/lateen-dev/lateen/internal/toolchain"
)

const (
	oldestPython = 11 // oldest supported minor version
	newestPython = 14

	guestPython      = sandbox.MountRoot + "/runtime/python"
	guestPythonAgent = sandbox.MountRoot + "/runtime/agent"
)

// python is an installation of Python on this host.
type python struct{ toolchain.Python }

// findPythons returns the supported Pythons of this host, the newest first.
func findPythons(dirs []string) []python {
	var found []python
	for _, p := range toolchain.FindPythons(dirs, oldestPython, newestPython) {
		found = append(found, python{p})
	}
	return found
}

// isPython reports whether a runtime is a Python, and its minor version, 0 for any.
func isPython(runtime string) (minor int, ok bool) {
	text, ok := strings.CutPrefix(runtime, "python3")
	if !ok || text == "" {
		return 0, ok
	}
	minor, err := strconv.Atoi(strings.TrimPrefix(text, "."))
	return minor, err == nil && text[0] == '.' && minor > 0
}

func (p python) name() string { return fmt.Sprintf("Python 3.%d", p.Minor) }

// runner returns the runner of one Python. Inside a sandbox with mounts, Python
// finds its library relative to its program, as on the host.
func (p python) runner(e *Engine) *process.Runner {
	r := &process.Runner{Name: p.name()}
	mounts := []sandbox.Mount{
		{Host: p.Program, Guest: guestPython + "/bin/" + filepath.Base(p.Program)},
		{Host: p.Stdlib, Guest: guestPython + "/lib/" + filepath.Base(p.Stdlib)},
	}
	if p.Shared != "" {
		mounts = append(mounts, sandbox.Mount{Host: p.Shared, Guest: guestPython + "/lib/" + filepath.Base(p.Shared)})
		r.Env = []string{"LD_LIBRARY_PATH=" + guestPython + "/lib"}
	}
	r.Find = func(context.Context) (process.Command, error) {
		agent := sandbox.Mount{Host: filepath.Dir(e.pythonAgent), Guest: guestPythonAgent}
		return process.Command{
			Path: p.Program, Named: p.Program, Args: []string{"-I", "-S", "-X", "utf8", e.pythonAgent}, Mounts: append(slices.Clone(mounts), agent),
		}, e.host.Reachable(filepath.Dir(p.Program))
	}
	return r
}

// pythonDirs are the directories to search for Pythons.
func pythonDirs(path []string) []string {
	return append(slices.Clone(path), "/usr/local/bin", "/usr/bin")
}
