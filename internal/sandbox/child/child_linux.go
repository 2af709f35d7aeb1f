package child

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/lateen-dev/lateen/internal/link/inner"
)

const (
	backgroundNice = 10

	maxLocked  = 8 << 20 // bytes of memory that cannot be pushed out
	maxSignals = 4096    // that wait to be taken
)

// A process that is a child ends here, or becomes the program.
func init() { //nolint:gochecknoinits // before any other package is initialized, as the package says
	if len(os.Args) == 2 && os.Args[0] == Name {
		run(os.Args[1])
	}
}

// run builds the walls of a plan and becomes the program. It does not return.
func run(text string) {
	runtime.LockOSThread() // what follows is said of one thread, the one that executes the program
	var p Plan
	if err := json.Unmarshal([]byte(text), &p); err != nil {
		unix.Exit(SetupFailed)
	}
	setup := os.NewFile(uintptr(p.Setup), "setup")
	err := p.confine(setup)
	if err == nil && p.Path == "" && !p.Empty {
		unix.Exit(0)
	}
	if err == nil {
		err = p.become()
	}
	_, _ = fmt.Fprintln(setup, err) // if nobody hears it, nobody is there
	unix.Exit(SetupFailed)
}

// become executes the program: under the keeper, where it would be the first
// process of a namespace otherwise.
func (p *Plan) become() error {
	args := append([]string{p.Path}, p.Args...)
	if !p.Mode.Processes {
		// Who waits for the walls need not wait for the program.
		if err := unix.Exec(p.Path, args, p.Env); err != nil {
			fmt.Fprintf(os.Stderr, "sandbox: execute %s: %v\n", p.Path, err)
		}
		unix.Exit(126)
	}
	args = append([]string{"keeper", "run"}, args...)
	if p.Empty {
		args = []string{"keeper", "hold"}
		all := unix.Sigset_t{}
		for i := range all.Val {
			all.Val[i] = ^uint64(0)
		}
		if err := unix.PthreadSigmask(unix.SIG_SETMASK, &all, nil); err != nil {
			return fmt.Errorf("block signals: %w", err)
		}
	}
	argv, err := syscall.SlicePtrFromStrings(args)
	if err != nil {
		return err
	}
	env, err := syscall.SlicePtrFromStrings(p.Env)
	if err != nil {
		return err
	}
	empty := []byte{0}
	_, _, errno := unix.RawSyscall6(unix.SYS_EXECVEAT, uintptr(p.Keeper), uintptr(unsafe.Pointer(&empty[0])),
		uintptr(unsafe.Pointer(&argv[0])), uintptr(unsafe.Pointer(&env[0])), unix.AT_EMPTY_PATH, 0)
	return fmt.Errorf("execute the keeper: %w", errno)
}

// confine builds the walls around the calling thread, the outermost first.
func (p *Plan) confine(setup *os.File) error {
	unix.Umask(0o022)
	if err := unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0); err != nil {
		return fmt.Errorf("follow the parent: %w", err)
	}
	if _, err := io.ReadFull(setup, make([]byte, 1)); err != nil { // it is in its group now
		return fmt.Errorf("hear from the parent: %w", err)
	}
	if err := p.connect(setup); err != nil {
		return err
	}
	if err := p.names(); err != nil {
		return err
	}
	if p.Mode.Mounts {
		if err := p.root(); err != nil {
			return err
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
	if p.Mode.Calls {
		return p.filter()
	}
	return nil
}

// connect makes the network of the process, and hands it to the supervisor.
func (p *Plan) connect(setup *os.File) error {
	if !p.Mode.Network {
		return nil
	}
	if !p.Device {
		if err := inner.Loopback(); err != nil {
			return fmt.Errorf("make a loopback: %w", err)
		}
		return nil
	}
	device, err := inner.Open()
	if err != nil {
		return fmt.Errorf("make a network: %w", err)
	}
	defer device.Close()
	if err := unix.Sendmsg(int(setup.Fd()), []byte{0}, unix.UnixRights(int(device.Fd())), nil, 0); err != nil {
		return fmt.Errorf("hand over the network: %w", err)
	}
	return nil
}

// names gives the process a name for its host, and groups that end at its own.
func (p *Plan) names() error {
	if !p.Mode.Names {
		return nil
	}
	if err := unix.Unshare(unix.CLONE_NEWCGROUP); err != nil {
		return fmt.Errorf("hide the groups: %w", err)
	}
	if err := unix.Sethostname([]byte("lateen")); err != nil {
		return fmt.Errorf("set the host name: %w", err)
	}
	return nil
}

// limit sets the resource limits.
func (p *Plan) limit() error {
	limits := map[int]uint64{
		unix.RLIMIT_CORE: 0, unix.RLIMIT_NOFILE: p.MaxFiles, unix.RLIMIT_MEMLOCK: maxLocked, unix.RLIMIT_SIGPENDING: maxSignals,
		unix.RLIMIT_MSGQUEUE: 0,
	}
	if p.Tasks > 0 { // counted by user id, so only where each process has its own
		limits[unix.RLIMIT_NPROC] = uint64(p.Tasks)
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
func (p *Plan) drop() error {
	if err := dropBounding(); err != nil {
		return err
	}
	if p.Mode.Identity && !p.Mode.User {
		if err := errors.Join(unix.Setgroups(nil), unix.Setresgid(p.UID, p.UID, p.UID), unix.Setresuid(p.UID, p.UID, p.UID)); err != nil {
			return fmt.Errorf("become an unprivileged user: %w", err)
		}
	}
	if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); err != nil {
		return fmt.Errorf("drop capabilities: %w", err)
	}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var none [2]unix.CapUserData
	if err := unix.Capset(&header, &none[0]); err != nil {
		return fmt.Errorf("drop capabilities: %w", err)
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("refuse new privileges: %w", err)
	}
	if err := unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0); err != nil {
		return fmt.Errorf("follow the parent: %w", err)
	}
	// A parent that died before this is one whose end of the socket is closed.
	return p.parentLives()
}

func (p *Plan) parentLives() error {
	poll := []unix.PollFd{{Fd: int32(p.Setup)}}
	if _, err := unix.Poll(poll, 0); err != nil && !errors.Is(err, unix.EINTR) {
		return fmt.Errorf("look at the parent: %w", err)
	}
	if poll[0].Revents&unix.POLLHUP != 0 {
		return errors.New("the parent is gone")
	}
	return nil
}

// dropBounding leaves no capability that a program could ever bring back.
func dropBounding() error {
	const most = 64 // there are never more
	for c := range uintptr(most) {
		has, err := unix.PrctlRetInt(unix.PR_CAPBSET_READ, c, 0, 0, 0)
		if err != nil { // the last is behind us
			return nil //nolint:nilerr // as said
		}
		if has == 0 {
			continue
		}
		err = unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0)
		if errors.Is(err, unix.EPERM) {
			return nil // a plain user without a namespace, whom no_new_privs keeps from them
		}
		if err != nil {
			return fmt.Errorf("bound capabilities: %w", err)
		}
	}
	return nil
}
