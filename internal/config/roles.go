package config

import (
	"path/filepath"
	"slices"
	"strings"
)

// The roles of a process.
const (
	Control = "control" // the API, the database and the artifacts
	Edge    = "edge"    // the listeners and the request pipeline
	Worker  = "worker"  // the instances of functions
)

// Has reports whether this process has a role.
func (c *Config) Has(role string) bool {
	return slices.Contains(strings.Split(c.Roles, ","), role)
}

// WorkerSocket returns the path of a worker's socket, unix:PATH.
func (c *Config) WorkerSocket(address string) string { return strings.TrimPrefix(address, unixScheme) }

const unixScheme = "unix:"

func (c *Config) validateRoles() error {
	for role := range strings.SplitSeq(c.Roles, ",") {
		if !slices.Contains([]string{Control, Edge, Worker}, role) {
			return ErrInvalid.With("--roles has %q, which is not a role", role).WithHint("use control, edge and worker, divided by commas")
		}
	}
	alone := !c.Has(Control) && !c.Has(Edge)
	switch {
	case c.Has(Control) != c.Has(Edge):
		return ErrInvalid.With("--roles %s divides control and edge, which need one process", c.Roles).WithHint("use --roles control,edge or --roles worker")
	case alone && !isSocket(c.WorkerListen):
		return ErrInvalid.With("--worker-listen %q is not unix: and an absolute path", c.WorkerListen).WithHint("`lateen up --roles worker --worker-listen unix:/run/lateen/worker.sock`")
	case !c.Has(Worker) && !isSocket(c.Workers):
		return ErrInvalid.With("--workers %q is not unix: and an absolute path", c.Workers).WithHint("`lateen up --roles control,edge --workers unix:/run/lateen/worker.sock`")
	case !alone && c.WorkerListen != "":
		return ErrInvalid.With("--worker-listen is for a process with only the role worker")
	case c.Has(Worker) && c.Workers != "":
		return ErrInvalid.With("--workers is for a process without the role worker")
	}
	return nil
}

func isSocket(address string) bool {
	path, ok := strings.CutPrefix(address, unixScheme)
	return ok && filepath.IsAbs(path)
}
