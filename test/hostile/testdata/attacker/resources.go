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

// files opens as many as it can, and as many sockets and pipes.
func files(r *report, args []string) {
	most := number(args[0])
	opened := 0
	var err error
	for err == nil && opened < most {
		if _, err = unix.Open("/dev/null", unix.O_RDONLY, 0); err == nil {
			opened++
		}
	}
	r.tell("in the end", err)
	r.note("opened", strconv.Itoa(opened))
}

// inodes makes empty files in the directory.
func inodes(r *report, args []string) {
	dir, most := filepath.Join(args[0], "inodes"), number(args[1])
	if err := os.Mkdir(dir, 0o700); err != nil {
		r.tell("in the end", err)
		return
	}
	made := 0
	var err error
	for ; err == nil && made < most; made++ {
		err = unix.Mknod(fmt.Sprintf("%s/%d", dir, made), unix.S_IFREG|0o600, 0)
	}
	r.tell("in the end", err)
	r.note("made", strconv.Itoa(made))
}

// fill writes into each directory there is until it can no more, up to some
// MiB each, and tells of those where it could at all.
func fill(r *report, args []string) {
	most := number(args[0])
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
		for err = nil; err == nil && written < most; written++ {
			_, err = f.Write(chunk)
		}
		r.note(path, fmt.Sprintf("%s after %d", outcome(errors.Unwrap(err)), written-1))
		f.Close()
		os.Remove(name)
		return nil
	})
}

// memory takes as much as is given, in MiB, uses it, and does not let go of it.
func memory(_ *report, args []string) {
	most := number(args[0])
	var held [][]byte
	for range most {
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

// devices opens what is a way to the hardware or to the kernel, and makes its own.
func devices(r *report, _ []string) {
	for _, name := range []string{"mem", "kmem", "port", "kmsg", "vda", "sda", "nvme0n1", "loop0", "loop-control", "kvm", "fuse", "net/tun", "mapper/control", "console", "tty1", "vhost-net", "vsock", "hpet", "rtc0", "uinput", "snapshot", "watchdog"} {
		fd, err := unix.Open("/dev/"+name, unix.O_RDWR, 0)
		if err == nil {
			unix.Close(fd)
		}
		r.tell(name, err)
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
		r.tell(name, err)
	}
}

// terminals tries to write into the input of whoever started all this.
func terminals(r *report, _ []string) {
	for fd := range 3 {
		letter := byte('x')
		r.tell(fmt.Sprintf("TIOCSTI %d", fd), ioctl(fd, unix.TIOCSTI, &letter))
		r.tell(fmt.Sprintf("TIOCLINUX %d", fd), ioctl(fd, unix.TIOCLINUX, &letter))
	}
	for _, name := range []string{"/dev/tty", "/dev/ptmx", "/dev/pts/ptmx", "/dev/pts/0"} {
		fd, err := unix.Open(name, unix.O_RDWR|unix.O_NOCTTY, 0)
		if err == nil {
			letter := byte('x')
			r.tell("TIOCSTI "+name, ioctl(fd, unix.TIOCSTI, &letter))
			unix.Close(fd)
			continue
		}
		r.tell("TIOCSTI "+name, err)
	}
}

// inherited tells what its descriptors are, beyond those that every process has.
func inherited(r *report, _ []string) {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		r.tell("look", err)
		return
	}
	for _, e := range entries {
		target, err := os.Readlink("/proc/self/fd/" + e.Name())
		if err == nil {
			r.note(e.Name(), target)
		}
	}
}

// memfd and sysv take memory that is no process's: a file without a name, a
// segment nobody is attached to.
func memfd(r *report, args []string) {
	fd, err := unix.MemfdCreate("hostile", 0)
	chunk := make([]byte, 1<<20)
	for written := 0; err == nil && written < number(args[0]); written++ {
		_, err = unix.Write(fd, chunk)
	}
	r.tell("in the end", err)
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
	r.tell("in the end", err)
}
