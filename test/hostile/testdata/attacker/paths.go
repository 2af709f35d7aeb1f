//go:build linux

package main

import (
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// paths reads, lists, changes and links to the given paths.
func paths(r *report, args []string) {
	read := func(path string) error {
		_, err := os.ReadFile(path)
		return err
	}
	list := func(path string) error {
		_, err := os.ReadDir(path)
		return err
	}
	linked := func(path string) string { // returns a new symbolic link to path
		link := fmt.Sprintf("/tmp/link-%d", time.Now().UnixNano())
		if os.Symlink(path, link) != nil {
			return path
		}
		return link
	}
	for _, path := range args {
		r.record("read "+path, read(path))
		r.record("list "+path, list(path))
		f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		if err == nil {
			_, err = f.WriteString("hostile")
			f.Close()
		}
		r.record("append to "+path, err)
		r.record("make in "+path, os.WriteFile(path+"/hostile", []byte("hostile"), 0o600))
		r.record("remove "+path, unix.Unlink(path))
		r.record("remove the directory "+path, unix.Rmdir(path))
		r.record("rename "+path, os.Rename(path, path+".gone"))
		r.record("chmod "+path, os.Chmod(path, 0o777))
		r.record("read by link "+path, read(linked(path)))
		r.record("list by link "+path, list(linked(path)))
		r.record("read by init "+path, read("/proc/1/root"+path))
		r.record("read from above "+path, read("/var/task/../../../../../.."+path))
	}
}
