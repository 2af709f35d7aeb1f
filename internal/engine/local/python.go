package local

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/sandbox"
)

const (
	oldestPython = 11 // minor version that functions run on
	newestPython = 14

	guestPython      = sandbox.MountRoot + "/runtime/python"
	guestPythonAgent = sandbox.MountRoot + "/runtime/agent"
)

// python is a Python of this host.
type python struct {
	minor   int
	program string
	library string // directory of its standard library
	shared  string // what it is linked to, beside that directory; "" if it is whole
}

// findPythons returns the newest patch of each version of Python in the
// directories, the first that has it.
func findPythons(dirs []string) []python {
	var found []python
	for minor := newestPython; minor >= oldestPython; minor-- {
		for _, dir := range dirs {
			if p, ok := pythonIn(dir, minor); ok {
				found = append(found, p)
				break
			}
		}
	}
	return found
}

// pythonIn looks for a version of Python that is a program, with its library
// beside it; a script that chooses one is neither.
func pythonIn(dir string, minor int) (python, bool) {
	name := "python3." + strconv.Itoa(minor)
	program, err := filepath.EvalSymlinks(filepath.Join(dir, name))
	if err != nil || !isBinary(program) {
		return python{}, false
	}
	library := filepath.Join(filepath.Dir(filepath.Dir(program)), "lib", name)
	if _, err := os.Stat(filepath.Join(library, "os.py")); err != nil {
		return python{}, false
	}
	p := python{minor: minor, program: program, library: library}
	if shared := filepath.Join(filepath.Dir(library), "lib"+name+".so.1.0"); isBinary(shared) {
		p.shared = shared
	}
	return p, true
}

// isBinary reports whether a file is no script.
func isBinary(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	start := make([]byte, 2)
	n, err := f.Read(start)
	return err == nil && string(start[:n]) != "#!"
}

// isPython reports whether functions with this runtime are in Python, and of
// which minor version, 0 for any.
func isPython(runtime string) (minor int, ok bool) {
	text, ok := strings.CutPrefix(runtime, "python3")
	if !ok || text == "" {
		return 0, ok
	}
	minor, err := strconv.Atoi(strings.TrimPrefix(text, "."))
	return minor, err == nil && text[0] == '.' && minor > 0
}

// pythonFor returns what runs functions in a version of Python: that one, or
// the next newer, or else the newest there is.
func (e *Engine) pythonFor(minor int) (r *runner, notice string, err error) {
	if len(e.pythons) == 0 {
		return nil, "", lateen.ErrFunctionRuntime.With("there is no Python on this host for the runtime %q", fmt.Sprintf("python3.%d", minor)).
			WithHint("install one that is found on PATH, python3.%d to python3.%d: on Debian, `apt-get install python3`", oldestPython, newestPython)
	}
	use := e.pythons[0]
	for _, p := range e.pythons { // from the newest on
		if p.minor >= minor && minor > 0 {
			use = p
		}
	}
	if minor > 0 && use.minor != minor {
		notice = fmt.Sprintf("Python 3.%d is not on this host: this function runs on Python 3.%d", minor, use.minor)
	}
	return e.runner(use.name()), notice, nil
}

func (p python) name() string { return fmt.Sprintf("Python 3.%d", p.minor) }

// runner is the runtime of one Python. Where it has mounts it finds its library
// beside itself, as it does everywhere.
func (p python) runner(e *Engine) *runner {
	r := &runner{name: p.name()}
	mounts := []sandbox.Mount{
		{Host: p.program, Guest: guestPython + "/bin/" + filepath.Base(p.program)},
		{Host: p.library, Guest: guestPython + "/lib/" + filepath.Base(p.library)},
	}
	if p.shared != "" {
		mounts = append(mounts, sandbox.Mount{Host: p.shared, Guest: guestPython + "/lib/" + filepath.Base(p.shared)})
		r.env = []string{"LD_LIBRARY_PATH=" + guestPython + "/lib"}
	}
	r.find = func(context.Context) (command, error) {
		agent := sandbox.Mount{Host: filepath.Dir(e.pythonAgent), Guest: guestPythonAgent}
		return command{
			path: p.program, args: []string{"-I", "-S", "-X", "utf8", e.pythonAgent}, mounts: append(slices.Clone(mounts), agent),
		}, e.reachable(filepath.Dir(p.program))
	}
	return r
}

// pythonDirs are where Pythons are looked for.
func pythonDirs(path []string) []string {
	return append(slices.Clone(path), "/usr/local/bin", "/usr/bin")
}
