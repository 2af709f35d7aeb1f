package sandbox

import (
	"strings"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/cgroup"
)

// Layer is one of the mechanisms that form the sandbox.
type Layer struct {
	Name     string // name, such as "a user of its own"
	Prevents string // actions that the layer prevents
	Missing  string // reason why the host does not permit it; "" if it does
	Remedy   string // remedy, if one is known
	// Required: without this layer a process may read data of others or kill their
	// processes. Without the others it may use more than its share.
	Required bool
}

// ErrUnavailable is the error of a host that does not permit a required layer.
var ErrUnavailable = &lateen.Error{
	Code: lateen.Unavailable, Reason: "sandbox_unavailable", Message: "the sandbox is unavailable on this host",
	Hint: "run `lateen doctor` for the reasons and remedies, or set `--unsandboxed` to run trusted functions without a sandbox",
}

// Layers lists all layers, with those that this host does not permit.
func (s *Sandbox) Layers() []Layer { return s.layers }

// requireLayers returns an error if a required layer is missing.
func (s *Sandbox) requireLayers() error {
	for _, w := range s.layers {
		if w.Required && w.Missing != "" {
			return ErrUnavailable.With("the sandbox is unavailable on this host: it does not permit %s (%s)", w.Name, w.Missing)
		}
	}
	return nil
}

// Missing lists the missing layers in one sentence, or is "". [Sandbox.Layers] has the
// reasons.
func (s *Sandbox) Missing() string {
	if s.options.Unsandboxed {
		return "functions run without a sandbox, as configured"
	}
	var missing []string
	for _, w := range s.layers {
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

// MemoryBound reports whether the kernel enforces the memory limits of processes.
func (s *Sandbox) MemoryBound() bool { return s.groups.Missing(cgroup.Memory) == "" }

const (
	asRoot     = "start Lateen as root: it gives every process a user id of its own"
	delegation = "start Lateen as root, or by systemd with `Delegate=yes`"
	namespaces = "allow unprivileged user namespaces (sysctl kernel.unprivileged_userns_clone, kernel.apparmor_restrict_unprivileged_userns, user.max_user_namespaces), or start Lateen as root"
)

// layersOf lists the layers. why has the reasons for missing layers of the child, by the
// name of the field of [child.Mode].
func layersOf(why map[string]string, groups *cgroup.Tree) []Layer {
	return []Layer{
		{"a user namespace", "acting as another user of the host, above all root", why["user"], namespaces, false},
		{"a root of its own", "reading or changing files of the host, the platform and other functions", why["mounts"], namespaces, true},
		{"a process namespace", "seeing, signalling or tracing other processes", why["processes"], namespaces, true},
		{"a network namespace", "reaching the host's loopback, the platform, metadata services, abstract sockets and other functions", why["network"], namespaces, true},
		{"a network device", "isolation from all networks, including the Internet", why["device"], "load the kernel's module tun, or veth: `modprobe tun`", false},
		{"ipc, uts and cgroup namespaces", "access to shared memory of other processes and to names of the host", why["names"], namespaces, false},
		{"a list of system calls", "most of the kernel: mounts, tracing, modules, bpf, io_uring, keyrings", why["calls"], "run a kernel with seccomp filters", true},
		{"a user id of its own", "sharing the kernel's per-user limits with other functions", why["identity"], asRoot, false},
		{"no privileges", "gaining privileges by setuid programs or capabilities", why["privileges"], "run on Linux", true},
		{"a bound on memory", "taking memory from other functions", groups.Missing(cgroup.Memory), delegation, false},
		{"a bound on CPU time", "taking CPU time from other functions", groups.Missing(cgroup.CPU), delegation, false},
		{"a bound on processes", "fork bombs", groups.Missing(cgroup.Tasks), delegation, false},
		{"measures of use", "wrong measures: without it, processes are measured one by one", groups.Missing(cgroup.Accounting), delegation, false},
		{"a freezer", "using CPU time while the instance is idle", groups.Missing(cgroup.Freezer), delegation, false},
	}
}
