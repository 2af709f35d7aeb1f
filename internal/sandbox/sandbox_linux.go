package sandbox

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/lateen-dev/lateen/internal/cgroup"
	"github.com/lateen-dev/lateen/internal/netdev"
	"github.com/lateen-dev/lateen/internal/sandbox/child"
)

const (
	defaultTmpBytes = 512 << 20
	defaultMaxFiles = 4096
	defaultTasks    = 512

	insideID     = 1000 // user and group id of a process inside its sandbox
	buildTimeout = 30 * time.Second
)

// detect finds the layers that this host permits, and the reasons for the others.
func (s *Sandbox) detect() error {
	var err error
	if s.keeper, err = keeper(); err != nil {
		return err
	}
	why := map[string]string{}
	root := os.Geteuid() == 0
	if !root {
		why["identity"] = "Lateen was not started by root"
	}
	maximum := child.Mode{User: true, Mounts: true, Processes: true, Network: true, Names: true, Calls: true, Identity: root}
	s.mode = maximum
	if refused := s.probe(maximum); refused != nil {
		if err := s.detectOneByOne(why); err != nil {
			return err
		}
	}
	if s.mode.Network {
		with := s.mode
		with.Device = true
		if refused := s.probe(with); refused == nil {
			s.mode = with
		} else {
			why["device"] = refused.Error()
		}
	}
	s.permits = s.mode
	s.mode.Background = mayRaisePriority() && s.groups.Missing(cgroup.CPU) != ""
	s.layers = layersOf(why, s.groups)
	return nil
}

// detectOneByOne adds one layer after the other, and skips those that the host refuses.
func (s *Sandbox) detectOneByOne(why map[string]string) error {
	s.mode = child.Mode{Identity: os.Geteuid() == 0}
	if err := s.probe(s.mode); err != nil {
		return err
	}
	for _, layer := range []struct {
		name string
		add  func(*child.Mode)
	}{
		{"user", func(m *child.Mode) { m.User = true }},
		{"mounts", func(m *child.Mode) { m.Mounts = true }},
		{"processes", func(m *child.Mode) { m.Processes = true }},
		{"network", func(m *child.Mode) { m.Network = true }},
		{"names", func(m *child.Mode) { m.Names = true }},
		{"calls", func(m *child.Mode) { m.Calls = true }},
	} {
		m := s.mode
		layer.add(&m)
		if m.Processes && !m.Mounts {
			why[layer.name] = "it requires a root of its own"
			continue
		}
		if err := s.probe(m); err != nil {
			why[layer.name] = err.Error()
			continue
		}
		s.mode = m
	}
	return nil
}

// probe starts a child that builds the layers of m and exits.
func (s *Sandbox) probe(m child.Mode) error {
	before := s.mode
	s.mode = m
	defer func() { s.mode = before }()
	spec := Spec{TmpBytes: 1 << 20, MaxFiles: defaultMaxFiles, Limits: Limits{Tasks: defaultTasks}}
	spec.Network = func(device *os.File) (io.Closer, error) { return device, nil }
	group, err := s.group(spec)
	if err != nil {
		return err
	}
	ours, theirs, err := setupSocket()
	if err != nil {
		return errors.Join(err, group.Close())
	}
	defer ours.Close() //nolint:errcheck // the exchange is complete by then
	p, err := s.construct(spec, group, ours, theirs, s.enter)
	if err != nil {
		return errors.Join(fmt.Errorf("this host refuses it: %w", err), group.Close())
	}
	if exit := p.Wait(); exit.Code != 0 {
		return fmt.Errorf("this host refuses it: %s", exit)
	}
	return nil
}

// build starts a process with all its layers.
func (s *Sandbox) build(ctx context.Context, spec Spec, group *cgroup.Group) (*Process, error) {
	ours, theirs, err := setupSocket()
	if err != nil {
		return nil, err
	}
	defer ours.Close()                                                               //nolint:errcheck // the exchange is complete by then
	stop := context.AfterFunc(ctx, func() { _ = ours.SetDeadline(time.Unix(1, 0)) }) // it is open
	defer stop()
	p, err := s.construct(spec, group, ours, theirs, func(req start) (*Process, error) { return s.fork(ctx, req) })
	if err != nil && ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return p, err
}

// construct starts a child by fork and supervises its setup.
func (s *Sandbox) construct(spec Spec, group *cgroup.Group, ours *net.UnixConn, theirs *os.File, fork func(start) (*Process, error)) (*Process, error) {
	if err := ours.SetDeadline(time.Now().Add(buildTimeout)); err != nil {
		return nil, errors.Join(err, theirs.Close())
	}
	req, err := s.request(spec, theirs)
	req.group = group
	defer closeAll(req.extra) // the child has copies
	if err != nil {
		return nil, err
	}
	p, err := fork(req)
	closeAll(req.extra)
	if err != nil {
		return nil, err
	}
	if err := p.superviseSetup(ours, spec); err != nil {
		_ = p.kill() // it may have exited by itself
		exit := p.await()
		p.forget()
		return nil, errors.Join(err, unexplained(exit))
	}
	return p, nil
}

// unexplained returns an error if a child ended without an explanation of its own.
func unexplained(exit Exit) error {
	if exit.Code == child.SetupFailed || exit.Signal == unix.SIGKILL {
		return nil
	}
	return errors.New(exit.String())
}

// forget releases a process whose setup failed.
func (p *Process) forget() {
	p.mu.Lock()
	p.waited = true
	p.mu.Unlock()
	p.sandbox.mu.Lock()
	delete(p.sandbox.live, p)
	p.sandbox.mu.Unlock()
	if p.network != nil {
		_ = p.network.Close() // no data went through it
	}
	closeDescriptor(p.pidfd)
}

// superviseSetup supervises the setup of the child. The child continues once it is in its
// cgroup, sends its network device, and closes the socket by executing the program, or
// writes an error.
func (p *Process) superviseSetup(setup *net.UnixConn, spec Spec) error {
	if err := p.group.Add(p.id); err != nil {
		return err
	}
	if _, err := setup.Write([]byte{1}); err != nil {
		return fmt.Errorf("exchange data with the child: %w", err)
	}
	if p.sandbox.hasDevice(spec) {
		device, err := receiveFile(setup)
		if err != nil {
			return err
		}
		if p.network, err = spec.Network(device); err != nil {
			return fmt.Errorf("connect the network: %w", err)
		}
	}
	said, err := io.ReadAll(setup)
	switch {
	case len(said) > 0:
		return fmt.Errorf("%s", bytes.TrimSpace(said))
	case err != nil:
		return fmt.Errorf("exchange data with the child: %w", err)
	}
	if p.sandbox.modeOf(spec).Processes {
		p.pidNamespace, _ = pidNamespaceOf(p.id) // a process that has already ended has none, and Adopt refuses it
	}
	return nil
}

func (s *Sandbox) hasDevice(spec Spec) bool { return spec.Network != nil && s.mode.Device }

// localHosts is the /etc/hosts of a process without a network device.
const localHosts = "127.0.0.1\tlocalhost lateen\n::1\tlocalhost\n"

// clean returns guest as an absolute path inside the sandbox.
func clean(guest string) string { return filepath.Clean("/" + guest) }

// request assembles the plan and the descriptors of a child, including setup.
func (s *Sandbox) request(spec Spec, setup *os.File) (start, error) {
	p := child.Plan{
		Path: spec.Path, Args: spec.Args, Env: spec.Env, TmpBytes: spec.TmpBytes, MaxFiles: spec.MaxFiles,
		Background: spec.Background, Empty: spec.Empty, Handover: spec.Handover, Hosts: localHosts,
		Mode: s.modeOf(spec), Descriptors: 3 + len(spec.Files), Device: s.hasDevice(spec),
	}
	if p.Device {
		p.Hosts, p.Resolver = netdev.Hosts, netdev.ResolvConf
	}
	if s.groups.Missing(cgroup.Tasks) != "" && (s.mode.Identity || s.mode.User) {
		p.Tasks = spec.Limits.Tasks
	}
	for _, m := range spec.Mounts {
		p.Mounts = append(p.Mounts, Mount{Host: m.Host, Guest: clean(m.Guest)})
	}
	for _, l := range spec.Late {
		p.Late = append(p.Late, Place{Guest: clean(l.Guest), File: l.File})
	}
	req := start{spec: spec, extra: []*os.File{setup}}
	p.Setup = p.Descriptors
	p.Keeper = p.Setup + 1
	if s.mode.Mounts && os.Geteuid() == 0 {
		for _, m := range spec.Mounts { // the child, as another user, might not reach the path
			tree, err := child.OpenTree(m.Host)
			if err != nil {
				return req, err
			}
			req.extra = append(req.extra, tree)
			p.Trees = append(p.Trees, p.Setup+1+len(p.Trees)+1)
		}
	}
	req.plan = p
	return req, nil
}

// launch starts the child that builds the layers and becomes the process. It must run
// on the thread of Run.
func (s *Sandbox) launch(p *Process, req start) error {
	mode := req.plan.Mode
	if mode.Identity {
		var err error
		if p.uid, err = s.takeUID(); err != nil {
			return err
		}
		req.plan.UID = p.uid
	}
	argument, err := json.Marshal(req.plan)
	if err != nil {
		return fmt.Errorf("plan a sandbox: %w", err)
	}
	files := append(append(append([]*os.File{}, req.spec.Files...), req.extra[0], s.keeper), req.extra[1:]...)
	p.cmd = &exec.Cmd{
		Path: self, Args: []string{child.Name, string(argument)}, Env: []string{"GOMAXPROCS=1"}, Dir: "/",
		ExtraFiles: files, SysProcAttr: attributes(mode, req.plan.UID, &p.pidfd),
	}
	if req.spec.Stdout != nil {
		p.cmd.Stdout = req.spec.Stdout
	}
	if req.spec.Stderr != nil {
		p.cmd.Stderr = req.spec.Stderr
	}
	if err := p.cmd.Start(); err != nil {
		return err
	}
	runtime.KeepAlive(files)
	p.id = p.cmd.Process.Pid
	return nil
}

// takeUID returns a user id that no started process holds before its Wait has returned.
// Only the thread that starts processes calls it.
func (s *Sandbox) takeUID() (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	taken := make(map[int]bool, len(s.live))
	for p := range s.live {
		taken[p.uid] = true
	}
	for range s.options.UIDs {
		uid := s.options.FirstUID + s.nextUID
		s.nextUID = (s.nextUID + 1) % s.options.UIDs
		if !taken[uid] {
			return uid, nil
		}
	}
	return 0, fmt.Errorf("all %d user ids are in use", s.options.UIDs)
}

// attributes are the settings by which clone(2) puts a child into its namespaces.
func attributes(m child.Mode, uid int, pidfd *int) *syscall.SysProcAttr {
	a := &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL, PidFD: pidfd}
	for flag, wanted := range map[uintptr]bool{
		unix.CLONE_NEWUSER: m.User, unix.CLONE_NEWNS: m.Mounts, unix.CLONE_NEWPID: m.Processes,
		unix.CLONE_NEWNET: m.Network, unix.CLONE_NEWIPC | unix.CLONE_NEWUTS: m.Names,
	} {
		if wanted {
			a.Cloneflags |= flag
		}
	}
	if !m.User {
		return a
	}
	hostUID, hostGID := os.Geteuid(), os.Getegid()
	if m.Identity {
		hostUID, hostGID = uid, uid
	}
	a.UidMappings = []syscall.SysProcIDMap{{ContainerID: insideID, HostID: hostUID, Size: 1}}
	a.GidMappings = []syscall.SysProcIDMap{{ContainerID: insideID, HostID: hostGID, Size: 1}}
	a.GidMappingsEnableSetgroups = m.Identity
	a.Credential = &syscall.Credential{Uid: insideID, Gid: insideID, NoSetGroups: !m.Identity}
	// The child has these until it executes the program, within its namespaces only.
	a.AmbientCaps = []uintptr{unix.CAP_SYS_ADMIN, unix.CAP_NET_ADMIN, unix.CAP_NET_RAW, unix.CAP_SETPCAP}
	return a
}

// setupSocket returns a connected pair of Unix sockets.
func setupSocket() (*net.UnixConn, *os.File, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("make a socket pair: %w", err)
	}
	ours, theirs := os.NewFile(uintptr(fds[0]), "setup"), os.NewFile(uintptr(fds[1]), "setup")
	defer ours.Close()
	conn, err := net.FileConn(ours)
	if err != nil {
		theirs.Close()
		return nil, nil, fmt.Errorf("make a socket pair: %w", err)
	}
	unixConn, ok := conn.(*net.UnixConn)
	if !ok {
		theirs.Close()
		return nil, nil, errors.Join(errors.New("make a socket pair: not a Unix socket"), conn.Close())
	}
	return unixConn, theirs, nil
}

// receiveFile receives a descriptor from the child, or its error message.
func receiveFile(from *net.UnixConn) (*os.File, error) {
	data, control := make([]byte, 1), make([]byte, unix.CmsgSpace(4))
	n, controlled, _, _, err := from.ReadMsgUnix(data, control)
	if err != nil {
		return nil, fmt.Errorf("receive the network device from the child: %w", err)
	}
	messages, err := unix.ParseSocketControlMessage(control[:controlled])
	if err != nil || len(messages) != 1 {
		rest, _ := io.ReadAll(from) // a failed read loses nothing important
		return nil, fmt.Errorf("%s", bytes.TrimSpace(append(data[:n], rest...)))
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(fds) != 1 {
		return nil, errors.Join(errors.New("receive the network device from the child: the message has no descriptor"), err)
	}
	unix.CloseOnExec(fds[0])
	return os.NewFile(uintptr(fds[0]), "network"), nil
}

func closeAll(files []*os.File) {
	for _, f := range files {
		f.Close()
	}
}

func closeDescriptor(fd int) {
	if fd >= 0 {
		_ = unix.Close(fd) // a failed close loses no data
	}
}
