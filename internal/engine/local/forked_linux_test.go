package local

import (
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestDescriptorsThatComeWithFirstWordsAreClosed(t *testing.T) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	var ends [2]*net.UnixConn
	for i, fd := range fds {
		file := os.NewFile(uintptr(fd), "end")
		conn, err := net.FileConn(file)
		file.Close()
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		ends[i] = conn.(*net.UnixConn)
	}
	if err := passCredentials(ends[0]); err != nil {
		t.Fatal(err)
	}
	passed, err := os.Create(t.TempDir() + "/passed")
	if err != nil {
		t.Fatal(err)
	}
	defer passed.Close()
	open := func() (n int) {
		entries, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if target, err := os.Readlink("/proc/self/fd/" + e.Name()); err == nil && strings.HasSuffix(target, "/passed") {
				n++
			}
		}
		return n
	}
	for _, count := range []int{1, 10, 100} {
		files := make([]*os.File, count)
		for i := range files {
			files[i] = passed
		}
		if _, _, err := ends[1].WriteMsgUnix([]byte("words"), rightsOf(files), nil); err != nil {
			t.Fatal(err)
		}
		pid, said, err := firstWords(ends[0], time.Now().Add(time.Minute))
		if err != nil || pid != os.Getpid() || string(said) != "words" {
			t.Errorf("process %d says %q, %v", pid, said, err)
		}
		if n := open(); n != 1 {
			t.Errorf("with %d descriptors, %d stay open", count, n-1)
		}
	}
}
