package sandbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"golang.org/x/sys/unix"
)

const (
	maxTasks       = 512 // processes and threads of one user id
	backgroundNice = 10
)

// Child does not return in a process that is the child of a sandbox: it builds
// the walls and becomes the program. In any other process it does nothing.
func Child() {
	if len(os.Args) != 2 || os.Args[0] != childName {
		return
	}
	runtime.LockOSThread() // what follows is said of one thread, the one that executes the program
	var p plan
	err := json.Unmarshal([]byte(os.Args[1]), &p)
	if err == nil {
		err = p.confine()
	}
	if err == nil && p.Path == "" {
		os.Exit(0) //nolint:forbidigo // the child is its own main program
	}
	if err == nil {
		err = fmt.Errorf("execute %s: %w", p.Path, unix.Exec(p.Path, append([]string{p.Path}, p.Args...), p.Env))
	}
	fmt.Fprintln(os.Stderr, "sandbox:", err)
	os.Exit(126) //nolint:forbidigo // as above
}

// confine builds the walls around the calling thread, the outermost first.
func (p *plan) confine() error {
	unix.Umask(0o022)
	if p.Mode.Namespaces {
		if err := p.mount(); err != nil {
			return err
		}
		if err := unix.Sethostname([]byte("lateen")); err != nil {
			return fmt.Errorf("set the host name: %w", err)
		}
	}
	if p.Background && p.Mode.Background {
		if err := unix.Setpriority(unix.PRIO_PROCESS, 0, backgroundNice); err != nil {
			return fmt.Errorf("set the priority: %w", err)
		}
	}
	if err := p.limit(); err != nil {
		return err
	}
	if err := p.drop(); err != nil {
		return err
	}
	// Whatever this program was itself started with ends at the program's door.
	if err := unix.CloseRange(uint(p.Descriptors), ^uint(0), unix.CLOSE_RANGE_CLOEXEC); err != nil {
		return fmt.Errorf("close inherited descriptors: %w", err)
	}
	return nil
}

// mount makes everything read-only but a fresh /tmp, and replaces what lies at
// MountRoot by the plan's mounts.
func (p *plan) mount() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("detach the mounts: %w", err)
	}
	trees := make([]int, len(p.Mounts))
	for i, m := range p.Mounts { // all of them first: what is mounted next may hide them
		fd, err := unix.OpenTree(unix.AT_FDCWD, m.Host, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_RECURSIVE)
		if err != nil {
			return fmt.Errorf("open %s: %w", m.Host, err)
		}
		trees[i] = fd
	}
	if err := tmpfs(MountRoot, "mode=0755,size=1m"); err != nil {
		return err
	}
	for i, m := range p.Mounts {
		if err := attach(trees[i], m); err != nil {
			return err
		}
	}
	readOnly := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY | unix.MOUNT_ATTR_NOSUID}
	if err := unix.MountSetattr(unix.AT_FDCWD, "/", unix.AT_RECURSIVE, &readOnly); err != nil {
		return fmt.Errorf("make the mounts read-only: %w", err)
	}
	return tmpfs("/tmp", fmt.Sprintf("mode=1777,size=%d", p.TmpBytes))
}

func tmpfs(at, options string) error {
	if err := unix.Mount("tmpfs", at, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, options); err != nil {
		return fmt.Errorf("mount a file system at %s: %w", at, err)
	}
	return nil
}

// attach puts a detached mount where it belongs, which it makes.
func attach(tree int, m Mount) error {
	var stat unix.Stat_t
	if err := unix.Fstat(tree, &stat); err != nil {
		return fmt.Errorf("look at %s: %w", m.Host, err)
	}
	err := os.MkdirAll(filepath.Dir(m.Guest), 0o755)
	if stat.Mode&unix.S_IFMT == unix.S_IFDIR {
		err = errors.Join(err, os.Mkdir(m.Guest, 0o755))
	} else {
		err = errors.Join(err, os.WriteFile(m.Guest, nil, 0o644))
	}
	if err != nil {
		return fmt.Errorf("make a place for %s: %w", m.Host, err)
	}
	if err := unix.MoveMount(tree, "", unix.AT_FDCWD, m.Guest, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
		return fmt.Errorf("mount %s: %w", m.Host, err)
	}
	return nil
}

// limit sets the resource limits.
func (p *plan) limit() error {
	limits := map[int]uint64{unix.RLIMIT_CORE: 0, unix.RLIMIT_NOFILE: p.MaxFiles}
	if p.Mode.Identity {
		limits[unix.RLIMIT_NPROC] = maxTasks // counted by user id, so only where each process has its own
	}
	for resource, most := range limits {
		var now unix.Rlimit
		if err := unix.Getrlimit(resource, &now); err != nil {
			return fmt.Errorf("read a limit: %w", err)
		}
		most = min(most, now.Max)
		if err := unix.Setrlimit(resource, &unix.Rlimit{Cur: most, Max: most}); err != nil {
			return fmt.Errorf("set a limit: %w", err)
		}
	}
	return nil
}

// drop gives up every privilege for good, and ties the process's life to its
// parent's: a change of user had undone that.
func (p *plan) drop() error {
	if p.Mode.Identity {
		if err := errors.Join(unix.Setgroups(nil), unix.Setresgid(p.UID, p.UID, p.UID), unix.Setresuid(p.UID, p.UID, p.UID)); err != nil {
			return fmt.Errorf("become an unprivileged user: %w", err)
		}
	}
	if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); err != nil {
		return fmt.Errorf("drop capabilities: %w", err)
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("refuse new privileges: %w", err)
	}
	if err := unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0); err != nil {
		return fmt.Errorf("follow the parent: %w", err)
	}
	if os.Getppid() != p.Parent {
		return errors.New("the parent is gone")
	}
	return nil
}
