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

	"github.com/lateen-dev/lateen/internal/netdev/inner"
)

const (
	backgroundNice = 10

	maxLocked  = 8 << 20 // bytes of locked memory
	maxSignals = 4096    // pending signals
)

// If this process is a child, init does not return: it becomes the program or exits.
func init() { //nolint:gochecknoinits // before any other package is initialized, see the package comment
	if len(os.Args) == 2 && os.Args[0] == Name {
		run(os.Args[1])
	}
}

// run builds the layers of a plan and becomes the program. It does not return.
func run(text string) {
	runtime.LockOSThread() // the calls below change one thread, which executes the program
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
	_, _ = fmt.Fprintln(setup, err) // a failed write means that the parent is gone
	unix.Exit(SetupFailed)
}

// become executes the program. Where the program would be the first process of a
// namespace, become executes the keeper, which starts it.
func (p *Plan) become() error {
	args := append([]string{p.Path}, p.Args...)
	if !p.Mode.Processes {
		// The parent waits for the layers only, so this error goes to stderr.
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

// confine builds the layers around the calling thread, the outermost first.
func (p *Plan) confine(setup *os.File) error {
	unix.Umask(0o022)
	if err := unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0); err != nil {
		return fmt.Errorf("set the parent death signal: %w", err)
	}
	if _, err := io.ReadFull(setup, make([]byte, 1)); err != nil { // this process is in its cgroup now
		return fmt.Errorf("wait for the parent: %w", err)
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
	// Descriptors that this program inherited are closed when the program is executed.
	if err := unix.CloseRange(uint(p.Descriptors), ^uint(0), unix.CLOSE_RANGE_CLOEXEC); err != nil {
		return fmt.Errorf("close inherited descriptors: %w", err)
	}
	if p.Mode.Calls {
		return p.filter()
	}
	return nil
}

// connect creates the network of the process and sends its device to the supervisor.
func (p *Plan) connect(setup *os.File) error {
	if !p.Mode.Network {
		return nil
	}
	if !p.Device {
		if err := inner.Loopback(); err != nil {
			return fmt.Errorf("bring up the loopback device: %w", err)
		}
		return nil
	}
	device, err := inner.Open()
	if err != nil {
		return fmt.Errorf("create the network device: %w", err)
	}
	defer device.Close()
	if err := unix.Sendmsg(int(setup.Fd()), []byte{0}, unix.UnixRights(int(device.Fd())), nil, 0); err != nil {
		return fmt.Errorf("send the network device: %w", err)
	}
	return nil
}

// names sets a host name and makes the own cgroup the root of the cgroup namespace.
func (p *Plan) names() error {
	if !p.Mode.Names {
		return nil
	}
	if err := unix.Unshare(unix.CLONE_NEWCGROUP); err != nil {
		return fmt.Errorf("unshare the cgroup namespace: %w", err)
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
	for resource, maximum := range limits {
		var now unix.Rlimit
		if err := unix.Getrlimit(resource, &now); err != nil {
			return fmt.Errorf("read a limit: %w", err)
		}
		maximum = min(maximum, now.Max)
		if err := unix.Setrlimit(resource, &unix.Rlimit{Cur: maximum, Max: maximum}); err != nil {
			return fmt.Errorf("set a limit: %w", err)
		}
	}
	return nil
}

// drop gives up every privilege for good, and asks again for a SIGKILL at the end of
// the parent: a change of the user id has undone that.
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
		return fmt.Errorf("set no_new_privs: %w", err)
	}
	if err := unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0); err != nil {
		return fmt.Errorf("set the parent death signal: %w", err)
	}
	// If the parent died before this call, its end of the socket is closed.
	return p.checkParent()
}

func (p *Plan) checkParent() error {
	poll := []unix.PollFd{{Fd: int32(p.Setup)}}
	if _, err := unix.Poll(poll, 0); err != nil && !errors.Is(err, unix.EINTR) {
		return fmt.Errorf("check the parent: %w", err)
	}
	if poll[0].Revents&unix.POLLHUP != 0 {
		return errors.New("the parent is gone")
	}
	return nil
}

// dropBounding empties the bounding set, so that no program can regain a capability.
func dropBounding() error {
	const maximum = 64 // more than the kernel has
	for c := range uintptr(maximum) {
		has, err := unix.PrctlRetInt(unix.PR_CAPBSET_READ, c, 0, 0, 0)
		if err != nil { // c is past the last capability
			return nil //nolint:nilerr // the end of the list
		}
		if has == 0 {
			continue
		}
		err = unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0)
		if errors.Is(err, unix.EPERM) {
			return nil // a plain user without a namespace; no_new_privs prevents new capabilities
		}
		if err != nil {
			return fmt.Errorf("drop a capability from the bounding set: %w", err)
		}
	}
	return nil
}
