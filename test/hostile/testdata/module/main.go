// Module is hostile WebAssembly: by its path it exhausts memory or processor time,
// or sends an endless response. On other paths it attacks the files that a header
// names.
package main

import (
	"bytes"
	"errors"
	"os"
	"strconv"
	"strings"
	"syscall"
)

func main() {
	switch os.Getenv("PATH_INFO") {
	case "/bomb":
		var held [][]byte
		for {
			held = append(held, bytes.Repeat([]byte{1}, 1<<20))
		}
	case "/loop":
		for {
		}
	case "/endless":
		os.Stdout.WriteString("Content-Type: text/plain\n\n")
		for {
			os.Stdout.Write(make([]byte, 1<<16))
		}
	case "/head":
		for {
			os.Stdout.WriteString("X-More: " + strings.Repeat("x", 1<<16) + "\n")
		}
	case "/lines":
		for range 1000 {
			os.Stderr.WriteString(strings.Repeat("x", 1<<16))
		}
	}
	outcomes := map[string]string{}
	record := func(name string, err error) {
		outcomes[name] = "done"
		var number syscall.Errno
		if errors.As(err, &number) {
			outcomes[name] = number.Error()
		} else if err != nil {
			outcomes[name] = err.Error()
		}
	}
	for _, path := range strings.Split(os.Getenv("HTTP_X_PATHS"), ", ") {
		_, err := os.ReadFile(path)
		record("read "+path, err)
		_, err = os.ReadDir(path)
		record("list "+path, err)
		record("write "+path, os.WriteFile(path, []byte("hostile"), 0o600))
		record("remove "+path, os.Remove(path))
		record("rename "+path, os.Rename(path, path+".gone"))
		record("link to "+path, os.Symlink(path, "/link"))
		_, err = os.ReadFile("/../../../../../.." + path)
		record("read from above "+path, err)
	}
	for _, variable := range os.Environ() {
		if strings.Contains(variable, "of the platform") {
			outcomes["secret"] = variable
		}
	}
	os.Stdout.WriteString("Content-Type: application/json\n\n")
	separator := "{"
	for name, outcome := range outcomes {
		os.Stdout.WriteString(separator + strconv.Quote(name) + ":" + strconv.Quote(outcome))
		separator = ","
	}
	os.Stdout.WriteString("}")
}
