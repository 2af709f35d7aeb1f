// Package child is the process that builds walls around itself and becomes a
// program. It is the platform's program, started once more under another name:
// for each of many sandboxes that start at once.
//
// The walls are built while Go initializes this package, and nothing that comes
// later is ever initialized: that of all other packages takes longer than the walls.
// Go initializes the packages that have what they import by the order of their
// paths, so this one imports only what the runtime needs anyway and x/sys/unix.
package child

// Name is the argv[0] of a child; its only argument is a [Plan] as JSON.
const Name = "lateen-sandbox"

// SetupFailed is the status of a child that could not build its walls.
const SetupFailed = 125

// Plan is what a child is to do. The descriptors that it names are behind those
// of the program.
type Plan struct {
	Path   string   `json:"path"`   // the program; "" with Empty or, to try the walls, without: the child ends once they stand
	Args   []string `json:"args"`   // without its name
	Env    []string `json:"env"`    // its whole environment
	Mounts []Mount  `json:"mounts"` // Guest is absolute and clean
	Late   []Place  `json:"late"`   // likewise

	Tasks      int    `json:"tasks"`      // processes and threads, by a resource limit, since nothing else bounds them; 0: something does
	TmpBytes   int64  `json:"tmpBytes"`   // size of /tmp
	MaxFiles   uint64 `json:"maxFiles"`   // open files
	Background bool   `json:"background"` // with a low priority
	Empty      bool   `json:"empty"`      // the keeper waits for what a zygote forks
	Handover   bool   `json:"handover"`   // pidfd_getfd(2) is allowed

	// Hosts and Resolver are its /etc/hosts and /etc/resolv.conf.
	Hosts    string `json:"hosts"`
	Resolver string `json:"resolver"`

	Mode        Mode  `json:"mode"`
	UID         int   `json:"uid"`         // on the host, where there is no user namespace
	Descriptors int   `json:"descriptors"` // that the program keeps
	Setup       int   `json:"setup"`       // the socket to the supervisor
	Keeper      int   `json:"keeper"`      // the program that is the first process
	Trees       []int `json:"trees"`       // detached mounts, as Mounts has them; none where the child opens them itself
	Device      bool  `json:"device"`      // it hands over its network
}

// Mount makes a file or directory of the host visible at another path.
type Mount struct {
	Host  string `json:"host"`
	Guest string `json:"guest"`
}

// Place is where something can be mounted later on.
type Place struct {
	Guest string `json:"guest"`
	File  bool   `json:"file"` // it is for a file, not for a directory
}

// Mode is which walls there are.
type Mode struct {
	User       bool `json:"user"`       // a user namespace, in which it is an unprivileged user
	Mounts     bool `json:"mounts"`     // a root of its own
	Processes  bool `json:"processes"`  // a process namespace
	Network    bool `json:"network"`    // a network namespace
	Device     bool `json:"device"`     // in which there can be a device
	Names      bool `json:"names"`      // ipc, uts and cgroup namespaces
	Calls      bool `json:"calls"`      // a list of system calls
	Identity   bool `json:"identity"`   // a user id of its own
	Background bool `json:"background"` // a low priority by niceness, which can be undone
}
