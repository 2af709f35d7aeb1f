// Package child is the process that builds the sandbox around itself and becomes a
// program. It is the platform's program, executed under another name once for each
// sandbox; many may start at once.
//
// The package builds the layers while Go initializes it, and the packages after it are
// never initialized: their initialization takes longer than the layers. Go initializes
// packages whose imports are ready in the order of their paths, so this one imports
// only packages that the runtime needs anyway, and x/sys/unix.
package child

// Name is the argv[0] of a child; its only argument is a [Plan] as JSON.
const Name = "lateen-sandbox"

// SetupFailed is the status of a child that could not build its layers.
const SetupFailed = 125

// Plan is the configuration of a child. Its descriptors have numbers above those of the
// program.
type Plan struct {
	Path   string   `json:"path"`   // the program; "": nothing with Empty, else a probe, which exits once the layers are in place
	Args   []string `json:"args"`   // arguments, without the program's name
	Env    []string `json:"env"`    // whole environment
	Mounts []Mount  `json:"mounts"` // mounts with an absolute, clean Guest
	Late   []Place  `json:"late"`   // places with an absolute, clean Guest

	Tasks      int    `json:"tasks"`      // resource limit of processes and threads where no cgroup bounds them; 0: a cgroup does
	TmpBytes   int64  `json:"tmpBytes"`   // size of /tmp in bytes
	MaxFiles   uint64 `json:"maxFiles"`   // open files
	Background bool   `json:"background"` // low priority
	Empty      bool   `json:"empty"`      // the keeper waits for a process that a zygote forks
	Handover   bool   `json:"handover"`   // pidfd_getfd(2) is allowed

	// Hosts and Resolver are the contents of /etc/hosts and /etc/resolv.conf.
	Hosts    string `json:"hosts"`
	Resolver string `json:"resolver"`

	Mode        Mode  `json:"mode"`
	UID         int   `json:"uid"`         // host user id, if there is no user namespace
	Descriptors int   `json:"descriptors"` // number of descriptors of the program
	Setup       int   `json:"setup"`       // descriptor of the socket to the supervisor
	Keeper      int   `json:"keeper"`      // descriptor of the program that is the first process
	Trees       []int `json:"trees"`       // descriptors of detached mounts, in the order of Mounts; none if the child opens them itself
	Device      bool  `json:"device"`      // the child sends its network device to the supervisor
}

// Mount makes a file or directory of the host visible at another path.
type Mount struct {
	Host  string `json:"host"`
	Guest string `json:"guest"`
}

// Place is a path at which something can be mounted later.
type Place struct {
	Guest string `json:"guest"`
	File  bool   `json:"file"` // a file, not a directory
}

// Mode is the set of layers to build.
type Mode struct {
	User       bool `json:"user"`       // a user namespace with an unprivileged user
	Mounts     bool `json:"mounts"`     // a root of its own
	Processes  bool `json:"processes"`  // a process namespace
	Network    bool `json:"network"`    // a network namespace
	Device     bool `json:"device"`     // a network device in that namespace
	Names      bool `json:"names"`      // ipc, uts and cgroup namespaces
	Calls      bool `json:"calls"`      // a list of system calls
	Identity   bool `json:"identity"`   // a user id of its own
	Background bool `json:"background"` // a low priority by niceness, which can be raised again
}
