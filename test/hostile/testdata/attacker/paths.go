//go:build linux

package main

import (
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// paths reads, lists, changes and links to the paths given.
func paths(r *report, args []string) {
	read := func(path string) error {
		_, err := os.ReadFile(path)
		return err
	}
	list := func(path string) error {
		_, err := os.ReadDir(path)
		return err
	}
	linked := func(path string) string { // a symbolic link of its own making
		link := fmt.Sprintf("/tmp/link-%d", time.Now().UnixNano())
		if os.Symlink(path, link) != nil {
			return path
		}
		return link
	}
	for _, path := range args {
		r.tell("read "+path, read(path))
		r.tell("list "+path, list(path))
		f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		if err == nil {
			_, err = f.WriteString("hostile")
			f.Close()
		}
		r.tell("append to "+path, err)
		r.tell("make in "+path, os.WriteFile(path+"/hostile", []byte("hostile"), 0o600))
		r.tell("remove "+path, unix.Unlink(path))
		r.tell("remove the directory "+path, unix.Rmdir(path))
		r.tell("rename "+path, os.Rename(path, path+".gone"))
		r.tell("chmod "+path, os.Chmod(path, 0o777))
		r.tell("read by link "+path, read(linked(path)))
		r.tell("list by link "+path, list(linked(path)))
		r.tell("read by init "+path, read("/proc/1/root"+path))
		r.tell("read from above "+path, read("/var/task/../../../../../.."+path))
	}
}
