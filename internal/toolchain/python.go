package toolchain

import (
	"os"
	"path/filepath"
	"strconv"
)

// Python is a Python installation of this host.
type Python struct {
	Minor   int // minor version
	Program string
	Stdlib  string // directory of its standard library
	Shared  string // shared library of the interpreter, beside that directory; "" if it is statically linked
}

// FindPythons returns one installation of each minor version of Python 3 in the range,
// from the first directory that has it. The newest comes first.
func FindPythons(dirs []string, oldest, newest int) []Python {
	var found []Python
	for minor := newest; minor >= oldest; minor-- {
		for _, dir := range dirs {
			if p, ok := pythonIn(dir, minor); ok {
				found = append(found, p)
				break
			}
		}
	}
	return found
}

// pythonIn returns the Python in dir if it is a binary with a standard library beside
// it; wrapper scripts are ignored.
func pythonIn(dir string, minor int) (Python, bool) {
	name := "python3." + strconv.Itoa(minor)
	program, err := filepath.EvalSymlinks(filepath.Join(dir, name))
	if err != nil || !isBinary(program) {
		return Python{}, false
	}
	library := filepath.Join(filepath.Dir(filepath.Dir(program)), "lib", name)
	if _, err := os.Stat(filepath.Join(library, "os.py")); err != nil {
		return Python{}, false
	}
	p := Python{Minor: minor, Program: program, Stdlib: library}
	if shared := filepath.Join(filepath.Dir(library), "lib"+name+".so.1.0"); isBinary(shared) {
		p.Shared = shared
	}
	return p, true
}

// isBinary reports whether a file is readable and no script.
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
