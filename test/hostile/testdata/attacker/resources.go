//go:build linux

package main

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

func ignore(sig unix.Signal) { signal.Ignore(sig) }

func number(text string) int {
	n, err := strconv.Atoi(text)
	if err != nil {
		panic(err)
	}
	return n
}

// files opens files until it has the given number or an open fails.
func files(r *report, args []string) {
	limit := number(args[0])
	opened := 0
	var err error
	for err == nil && opened < limit {
		if _, err = unix.Open("/dev/null", unix.O_RDONLY, 0); err == nil {
			opened++
		}
	}
	r.record("last error", err)
	r.set("opened", strconv.Itoa(opened))
}

// inodes creates empty files in the given directory.
func inodes(r *report, args []string) {
	dir, limit := filepath.Join(args[0], "inodes"), number(args[1])
	if err := os.Mkdir(dir, 0o700); err != nil {
		r.record("last error", err)
		return
	}
	made := 0
	var err error
	for ; err == nil && made < limit; made++ {
		err = unix.Mknod(fmt.Sprintf("%s/%d", dir, made), unix.S_IFREG|0o600, 0)
	}
	r.record("last error", err)
	r.set("made", strconv.Itoa(made))
}

// fill writes a file on each writable file system until a write fails, or up to the
// given number of MiB, and records the directories of these files.
func fill(r *report, args []string) {
	limit := number(args[0])
	filled := map[uint64]bool{}
	_ = filepath.WalkDir("/", func(path string, d os.DirEntry, err error) error {
		switch {
		case err != nil || !d.IsDir():
			return nil
		case path == "/proc" || path == "/sys":
			return filepath.SkipDir
		}
		name := filepath.Join(path, "hostile")
		f, err := os.Create(name)
		if err != nil {
			return nil
		}
		var stat unix.Stat_t
		if err := unix.Fstat(int(f.Fd()), &stat); err == nil && filled[stat.Dev] {
			os.Remove(name)
			return nil
		}
		filled[stat.Dev] = true
		chunk := make([]byte, 1<<20)
		for i := range chunk {
			chunk[i] = byte(i)
		}
		written := 0
		for err = nil; err == nil && written < limit; written++ {
			_, err = f.Write(chunk)
		}
		r.set(path, fmt.Sprintf("%s after %d", outcome(errors.Unwrap(err)), written-1))
		f.Close()
		os.Remove(name)
		return nil
	})
}

// memory allocates the given number of MiB, writes to it, and keeps it.
func memory(_ *report, args []string) {
	limit := number(args[0])
	var held [][]byte
	for range limit {
		chunk := make([]byte, 1<<20)
		for i := range chunk {
			chunk[i] = byte(i)
		}
		held = append(held, chunk)
	}
	for range time.Tick(time.Second) {
		held[0][0]++
	}
}

// devices opens device files of the hardware and of the kernel, and creates some.
func devices(r *report, _ []string) {
	for _, name := range []string{"mem", "kmem", "port", "kmsg", "vda", "sda", "nvme0n1", "loop0", "loop-control", "kvm", "fuse", "net/tun", "mapper/control", "console", "tty1", "vhost-net", "vsock", "hpet", "rtc0", "uinput", "snapshot", "watchdog"} {
		fd, err := unix.Open("/dev/"+name, unix.O_RDWR, 0)
		if err == nil {
			unix.Close(fd)
		}
		r.record(name, err)
	}
	for name, mode := range map[string]uint32{"make a character device": unix.S_IFCHR, "make a block device": unix.S_IFBLK} {
		err := unix.Mknod("/tmp/device", mode|0o600, int(unix.Mkdev(1, 1)))
		if err == nil {
			var fd int
			if fd, err = unix.Open("/tmp/device", unix.O_RDWR, 0); err == nil {
				unix.Close(fd)
			}
			os.Remove("/tmp/device")
		}
		r.record(name, err)
	}
}

// terminals tries to write into the input of the platform's terminal.
func terminals(r *report, _ []string) {
	for fd := range 3 {
		letter := byte('x')
		r.record(fmt.Sprintf("TIOCSTI %d", fd), ioctl(fd, unix.TIOCSTI, &letter))
		r.record(fmt.Sprintf("TIOCLINUX %d", fd), ioctl(fd, unix.TIOCLINUX, &letter))
	}
	for _, name := range []string{"/dev/tty", "/dev/ptmx", "/dev/pts/ptmx", "/dev/pts/0"} {
		fd, err := unix.Open(name, unix.O_RDWR|unix.O_NOCTTY, 0)
		if err == nil {
			letter := byte('x')
			r.record("TIOCSTI "+name, ioctl(fd, unix.TIOCSTI, &letter))
			unix.Close(fd)
			continue
		}
		r.record("TIOCSTI "+name, err)
	}
}

// inherited records the files of its descriptors.
func inherited(r *report, _ []string) {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		r.record("list", err)
		return
	}
	for _, e := range entries {
		target, err := os.Readlink("/proc/self/fd/" + e.Name())
		if err == nil {
			r.set(e.Name(), target)
		}
	}
}

// memfd and sysv allocate memory outside of any address space: an anonymous file,
// and shared memory segments without an attached process.
func memfd(r *report, args []string) {
	fd, err := unix.MemfdCreate("hostile", 0)
	chunk := make([]byte, 1<<20)
	for written := 0; err == nil && written < number(args[0]); written++ {
		_, err = unix.Write(fd, chunk)
	}
	r.record("last error", err)
}

func sysv(r *report, args []string) {
	var err error
	for taken := 0; err == nil && taken < number(args[0]); taken += 8 {
		var id int
		var segment []byte
		if id, err = unix.SysvShmGet(unix.IPC_PRIVATE, 8<<20, unix.IPC_CREAT|0o600); err != nil {
			break
		}
		if segment, err = unix.SysvShmAttach(id, 0, 0); err != nil {
			break
		}
		for i := 0; i < len(segment); i += 4096 {
			segment[i] = 1
		}
		err = unix.SysvShmDetach(segment)
	}
	r.record("last error", err)
}
