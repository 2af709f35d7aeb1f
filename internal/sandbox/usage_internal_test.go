//go:build linux

package sandbox

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// The kernel frees pages of files when it needs memory, so that they do not count
// against the memory limit of a function.
func TestMemoryCountsPagesOfTheProcessAndNotOfFiles(t *testing.T) {
	const size = 64 << 20
	file, err := os.Create(filepath.Join(t.TempDir(), "file"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if err := file.Truncate(size); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name    string
		fd      int
		flags   int
		counted bool
	}{
		{"private memory", -1, unix.MAP_PRIVATE | unix.MAP_ANON, true},
		{"shared memory", -1, unix.MAP_SHARED | unix.MAP_ANON, true},
		{"a file", int(file.Fd()), unix.MAP_PRIVATE, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			prot := unix.PROT_READ
			if c.counted {
				prot |= unix.PROT_WRITE
			}
			before := memoryOf(os.Getpid())
			pages, err := unix.Mmap(c.fd, 0, size, prot, c.flags)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = unix.Munmap(pages) }()
			var sum byte
			for i := 0; i < size; i += os.Getpagesize() {
				if c.counted {
					pages[i] = 1
				}
				sum += pages[i]
			}
			grown := memoryOf(os.Getpid()) - before
			if c.counted && grown < size*3/4 || !c.counted && grown > size/4 {
				t.Errorf("the memory grew by %d MiB (sum %d)", grown>>20, sum)
			}
		})
	}
}
