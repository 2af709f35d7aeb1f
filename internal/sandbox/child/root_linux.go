package child

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	base = "/tmp" // path at which the root is built; it exists on all hosts and is unused meanwhile

	closed = unix.MOUNT_ATTR_RDONLY | unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV
)

// hostPaths lists the paths of the host, besides the mounts, that processes see if they
// exist: libraries and their loader, a shell, certificates, time zones.
func hostPaths() []string {
	return []string{
		"/usr/lib", "/usr/lib32", "/usr/lib64", "/lib", "/lib32", "/lib64", "/nix/store", "/gnu/store",
		"/usr/bin/sh", "/usr/bin/env", "/bin", "/bin/sh", // the target of a link comes before the link
		"/etc/ssl/certs", "/etc/pki/tls/certs", "/etc/pki/ca-trust/extracted", "/etc/ca-certificates/extracted",
		"/usr/share/ca-certificates", "/usr/local/share/ca-certificates", "/usr/share/pki", "/usr/share/zoneinfo",
	}
}

// etcFiles returns the files of /etc.
func (p *Plan) etcFiles() map[string]string {
	return map[string]string{
		"passwd":        "root:x:0:0:root:/root:/bin/false\nlateen:x:1000:1000:function:/tmp:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n",
		"group":         "root:x:0:\nlateen:x:1000:\nnogroup:x:65534:\n",
		"hostname":      "lateen\n",
		"hosts":         p.Hosts,
		"nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
		"resolv.conf":   p.Resolver,
	}
}

// root builds a read-only root of mounts and a /tmp, and makes it the root of this
// mount namespace.
func (p *Plan) root() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("detach the mounts: %w", err)
	}
	trees, err := p.trees() // opened first: later mounts may hide the paths
	if err != nil {
		return err
	}
	if err := tmpfs(base, "mode=0755,size=1m"); err != nil {
		return err
	}
	for _, path := range hostPaths() {
		if err := show(path); err != nil {
			return err
		}
	}
	for i, m := range p.Mounts {
		if err := mountAt(trees[i], m.Guest); err != nil {
			return err
		}
	}
	for _, l := range p.Late {
		if err := makePlace(l.Guest, !l.File); err != nil {
			return err
		}
	}
	if err := errors.Join(p.write(), p.devices(), p.proc()); err != nil {
		return err
	}
	return p.enter()
}

// trees returns the mounts, detached.
func (p *Plan) trees() ([]*os.File, error) {
	var trees []*os.File
	for _, fd := range p.Trees {
		trees = append(trees, os.NewFile(uintptr(fd), "tree"))
	}
	if p.Trees != nil {
		return trees, nil
	}
	for _, m := range p.Mounts {
		tree, err := OpenTree(m.Host)
		if err != nil {
			return nil, err
		}
		trees = append(trees, tree)
	}
	return trees, nil
}

// OpenTree returns a detached, read-only copy of the mounts at path.
func OpenTree(path string) (*os.File, error) {
	const flags = unix.OPEN_TREE_CLONE | unix.OPEN_TREE_CLOEXEC | unix.AT_RECURSIVE
	fd, err := unix.OpenTree(unix.AT_FDCWD, path, flags)
	if err != nil {
		return nil, &os.PathError{Op: "open the mount", Path: path, Err: err}
	}
	attributes := unix.MountAttr{Attr_set: closed}
	if err := unix.MountSetattr(fd, "", unix.AT_EMPTY_PATH|unix.AT_RECURSIVE, &attributes); err != nil {
		_ = unix.Close(fd) // nothing was written
		return nil, &os.PathError{Op: "protect the mount", Path: path, Err: err}
	}
	return os.NewFile(uintptr(fd), path), nil
}

// show mounts a path of the host in the root, or copies it if it is a symbolic link. It
// does nothing if the path is already in the root or not on the host.
func show(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	inside := base + path
	if _, err := os.Lstat(inside); err == nil {
		return nil
	}
	if err := os.MkdirAll(parent(inside), 0o755); err != nil {
		return err
	}
	// Links to directories are copied; a link to a program is replaced by the program.
	target, err := os.Readlink(path)
	if err == nil && !strings.HasPrefix(path, "/usr/bin/") && !strings.HasPrefix(path, "/bin/") {
		return os.Symlink(target, inside)
	}
	if path == "/bin" && info.IsDir() {
		return nil // its programs follow
	}
	tree, err := OpenTree(path)
	if err != nil {
		return err
	}
	return mountAt(tree, path)
}

// mountAt creates the mount point of a detached mount and mounts it.
func mountAt(tree *os.File, guest string) error {
	defer tree.Close()
	info, err := tree.Stat()
	if err != nil {
		return err
	}
	if err := makePlace(guest, info.IsDir()); err != nil {
		return err
	}
	if err := unix.MoveMount(int(tree.Fd()), "", unix.AT_FDCWD, base+guest, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
		return &os.PathError{Op: "mount", Path: guest, Err: err}
	}
	return nil
}

// parent returns the directory of an absolute, clean path.
func parent(path string) string { return path[:strings.LastIndexByte(path, '/')] }

// makePlace creates an empty directory or file as a mount point.
func makePlace(guest string, dir bool) error {
	inside := base + guest
	if dir {
		return os.MkdirAll(inside, 0o755)
	}
	if err := os.MkdirAll(parent(inside), 0o755); err != nil {
		return err
	}
	f, err := os.OpenFile(inside, os.O_CREATE|os.O_RDONLY, 0o644)
	if err != nil {
		return err
	}
	return f.Close()
}

// write writes the files of /etc.
func (p *Plan) write() error {
	for name, text := range p.etcFiles() {
		if err := os.MkdirAll(base+"/etc", 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(base+"/etc/"+name, []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// devices creates a /dev without hardware.
func (p *Plan) devices() error {
	for _, name := range []string{"null", "zero", "full", "random", "urandom"} {
		fd, err := unix.OpenTree(unix.AT_FDCWD, "/dev/"+name, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
		if err != nil {
			return &os.PathError{Op: "open the mount", Path: "/dev/" + name, Err: err}
		}
		attributes := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NOEXEC}
		if err := unix.MountSetattr(fd, "", unix.AT_EMPTY_PATH, &attributes); err != nil {
			return &os.PathError{Op: "protect the mount", Path: "/dev/" + name, Err: err}
		}
		if err := mountAt(os.NewFile(uintptr(fd), name), "/dev/"+name); err != nil {
			return err
		}
	}
	for name, target := range map[string]string{"fd": "", "stdin": "/0", "stdout": "/1", "stderr": "/2"} {
		if err := os.Symlink("/proc/self/fd"+target, base+"/dev/"+name); err != nil {
			return err
		}
	}
	return nil
}

// proc mounts the processes of the namespace and a read-only part of the kernel's
// files; files that reveal other processes or the hardware are hidden.
func (p *Plan) proc() error {
	at := base + "/proc"
	if err := os.MkdirAll(at, 0o755); err != nil {
		return err
	}
	if !p.Mode.Processes { // only the host's /proc is available
		tree, err := OpenTree("/proc")
		if err != nil {
			return err
		}
		return mountAt(tree, "/proc")
	}
	flags := uintptr(unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC | unix.MS_RDONLY)
	if err := unix.Mount("proc", at, "proc", flags, "hidepid=2"); err != nil {
		return fmt.Errorf("mount /proc: %w", err)
	}
	for _, name := range []string{"kcore", "keys", "key-users", "kallsyms", "timer_list", "sched_debug", "latency_stats", "slabinfo", "diskstats", "partitions", "interrupts", "softirqs"} {
		err := unix.Mount(base+"/dev/null", at+"/"+name, "", unix.MS_BIND, "")
		if err != nil && !errors.Is(err, unix.ENOENT) {
			return &os.PathError{Op: "hide", Path: "/proc/" + name, Err: err}
		}
	}
	return nil
}

// enter makes the root read-only, mounts the few writable directories, and replaces the
// host's root with it.
func (p *Plan) enter() error {
	for _, dir := range []string{"/tmp", "/dev/shm"} {
		if err := os.MkdirAll(base+dir, 0o755); err != nil {
			return err
		}
	}
	attributes := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY | unix.MOUNT_ATTR_NOSUID}
	if err := unix.MountSetattr(unix.AT_FDCWD, base, unix.AT_RECURSIVE, &attributes); err != nil {
		return fmt.Errorf("make the mounts read-only: %w", err)
	}
	if err := tmpfs(base+"/tmp", fmt.Sprintf("mode=1777,nr_inodes=65536,size=%d", p.TmpBytes)); err != nil {
		return err
	}
	if err := tmpfs(base+"/dev/shm", fmt.Sprintf("mode=1777,nr_inodes=1024,size=%d", min(p.TmpBytes, 64<<20))); err != nil {
		return err
	}
	if err := unix.Chdir(base); err != nil {
		return fmt.Errorf("enter the root: %w", err)
	}
	if err := unix.PivotRoot(".", "."); err != nil {
		return fmt.Errorf("enter the root: %w", err)
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("leave the host's root: %w", err)
	}
	return unix.Chdir("/")
}

func tmpfs(at, options string) error {
	if err := unix.Mount("tmpfs", at, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, options); err != nil {
		return fmt.Errorf("mount a file system at %s: %w", at, err)
	}
	return nil
}
