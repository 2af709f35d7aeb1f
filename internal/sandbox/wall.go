package sandbox

import (
	"strings"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/cgroup"
)

// A Wall is a means of confinement.
type Wall struct {
	Name    string // what it is: "a user of its own"
	Stops   string // what it keeps a process from
	Missing string // why it does not stand on this host; "" if it does
	Remedy  string // what would make it stand, if that is known
	// Needed: without it a process may read or end what is not its own. Without
	// the others it may take more than its share.
	Needed bool
}

// ErrUnwalled says that this host does not permit walls that are needed.
var ErrUnwalled = &lateen.Error{
	Code: lateen.Unavailable, Reason: "sandbox_unavailable", Message: "functions cannot be confined on this host",
	Hint: "`lateen doctor` says why, and what to do; `--unsandboxed` runs functions without a sandbox, which takes trust in every one of them",
}

// Walls tells which walls there are, and which of them this host permits.
func (s *Sandbox) Walls() []Wall { return s.walls }

// needed is an error if a wall is missing that is needed.
func (s *Sandbox) needed() error {
	for _, w := range s.walls {
		if w.Needed && w.Missing != "" {
			return ErrUnwalled.With("functions cannot be confined on this host: it does not permit %s (%s)", w.Name, w.Missing)
		}
	}
	return nil
}

// Missing names in one sentence what is missing, or is "". [Sandbox.Walls] says why.
func (s *Sandbox) Missing() string {
	if s.options.Unwalled {
		return "functions run without a sandbox, as was asked for"
	}
	var missing []string
	for _, w := range s.walls {
		if w.Missing != "" {
			missing = append(missing, w.Name)
		}
	}
	if len(missing) == 0 {
		return ""
	}
	return "functions run without " + strings.Join(missing, ", ")
}

// PrivateTmp reports whether every process has a root and a /tmp of its own.
func (s *Sandbox) PrivateTmp() bool { return s.mode.Mounts }

// Identity reports whether every process has a user id of its own.
func (s *Sandbox) Identity() bool { return s.mode.Identity }

// Networks reports whether processes have networks of their own.
func (s *Sandbox) Networks() bool { return s.mode.Network }

// Connects reports whether processes can be given a network device.
func (s *Sandbox) Connects() bool { return s.mode.Device }

// MemoryBound reports whether the kernel itself holds processes to their
// memory.
func (s *Sandbox) MemoryBound() bool { return s.groups.Missing(cgroup.Memory) == "" }

const (
	asRoot     = "start Lateen as root: it gives every process a user id of its own"
	delegation = "start Lateen as root, or by systemd with `Delegate=yes`"
	namespaces = "allow unprivileged user namespaces (sysctl kernel.unprivileged_userns_clone, kernel.apparmor_restrict_unprivileged_userns, user.max_user_namespaces), or start Lateen as root"
)

// wallsOf lists the walls: why are the reasons of those of the child's that
// are missing, by name of the field of the mode.
func wallsOf(why map[string]string, groups *cgroup.Tree) []Wall {
	return []Wall{
		{"a user namespace", "being anybody on the host, root least of all", why["user"], namespaces, false},
		{"a root of its own", "seeing or changing files of the host, of the platform and of others", why["mounts"], namespaces, true},
		{"a process namespace", "seeing, signalling or tracing processes of others", why["processes"], namespaces, true},
		{"a network namespace", "reaching the host's loopback, the platform, metadata services, abstract sockets and others' functions", why["network"], namespaces, true},
		{"a network device", "being cut off from all networks, the Internet too", why["device"], "load the kernel's module tun, or veth: `modprobe tun`", false},
		{"ipc, uts and cgroup namespaces", "shared memory of others, names of the host", why["names"], namespaces, false},
		{"a list of system calls", "most of the kernel: mounts, tracing, modules, bpf, io_uring, keyrings", why["calls"], "run a kernel with seccomp filters", true},
		{"a user id of its own", "sharing the kernel's per-user limits with others", why["identity"], asRoot, false},
		{"no privileges", "gaining any, by setuid programs or capabilities", why["privileges"], "run on Linux", true},
		{"a bound on memory", "taking memory from others", groups.Missing(cgroup.Memory), delegation, false},
		{"a bound on CPU time", "taking CPU time from others", groups.Missing(cgroup.CPU), delegation, false},
		{"a bound on processes", "fork bombs", groups.Missing(cgroup.Tasks), delegation, false},
		{"measures of use", "being measured wrongly: without it, processes are counted one by one", groups.Missing(cgroup.Accounting), delegation, false},
		{"a freezer", "using CPU time while no request is at work", groups.Missing(cgroup.Freezer), delegation, false},
	}
}
