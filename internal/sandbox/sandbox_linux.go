package sandbox

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

const (
	childName = "lateen-sandbox" // argv[0] of a child that builds walls
	self      = "/proc/self/exe"

	defaultTmpBytes = 512 << 20
	defaultMaxFiles = 4096
)

// plan is what a child is to do, passed in its argument.
type plan struct {
	Spec

	Mode        mode `json:"mode"`
	Parent      int  `json:"parent"` // its process id
	UID         int  `json:"uid"`
	Descriptors int  `json:"descriptors"` // that the program keeps
}

// detect finds the most that this host permits.
func (s *Sandbox) detect() error {
	modes := []mode{{Namespaces: true, User: true}, {}}
	if os.Geteuid() == 0 {
		modes = []mode{{Namespaces: true, Identity: true}, {Identity: true}}
	}
	var refused error
	for _, m := range modes {
		err := s.probe(m)
		if m.Background = mayRaisePriority(); err == nil {
			s.mode, s.walls = m, wallsOf(m, refused)
			return nil
		}
		refused = err
	}
	return refused
}

// wallsOf says what stands in mode m, where more was refused, or nil.
func wallsOf(m mode, refused error) []Wall {
	walls := []Wall{{Name: WallMounts}, {Name: WallIdentity}, {Name: WallPrivileges}}
	if !m.Namespaces {
		walls[0].Missing = refused.Error()
	}
	if !m.Identity {
		walls[1].Missing = "Lateen was not started by root"
	}
	return walls
}

// probe starts a child that builds the walls of m and ends.
func (s *Sandbox) probe(m mode) error {
	cmd, err := s.command(m, Spec{})
	if err != nil {
		return err
	}
	var said bytes.Buffer
	cmd.Stderr = &said
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("this host refuses it: %w %s", err, bytes.TrimSpace(said.Bytes()))
	}
	return nil
}

// launch starts the child that becomes the process.
func (s *Sandbox) launch(spec Spec) (*exec.Cmd, error) {
	cmd, err := s.command(s.mode, spec)
	if err != nil {
		return nil, err
	}
	if spec.Stdout != nil {
		cmd.Stdout = spec.Stdout
	}
	if spec.Stderr != nil {
		cmd.Stderr = spec.Stderr
	}
	cmd.ExtraFiles = spec.Files
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start a sandbox: %w", err)
	}
	return cmd, nil
}

// command prepares a child of this program that builds the walls of m.
func (s *Sandbox) command(m mode, spec Spec) (*exec.Cmd, error) {
	spec.TmpBytes = cmp.Or(spec.TmpBytes, defaultTmpBytes)
	spec.MaxFiles = cmp.Or(spec.MaxFiles, defaultMaxFiles)
	p := plan{Spec: spec, Mode: m, Parent: os.Getpid(), Descriptors: 3 + len(spec.Files)}
	if m.Identity {
		p.UID = s.options.FirstUID + s.nextUID
		s.nextUID = (s.nextUID + 1) % s.options.UIDs
	}
	argument, err := json.Marshal(p)
	if err != nil {
		return nil, fmt.Errorf("plan a sandbox: %w", err)
	}
	attributes := &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL}
	if m.Namespaces {
		attributes.Cloneflags = unix.CLONE_NEWNS | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS
	}
	if m.User {
		uid, gid := os.Geteuid(), os.Getegid()
		attributes.Cloneflags |= unix.CLONE_NEWUSER
		attributes.UidMappings = []syscall.SysProcIDMap{{ContainerID: uid, HostID: uid, Size: 1}}
		attributes.GidMappings = []syscall.SysProcIDMap{{ContainerID: gid, HostID: gid, Size: 1}}
		attributes.AmbientCaps = []uintptr{unix.CAP_SYS_ADMIN} // within its namespace; until it executes the program
	}
	return &exec.Cmd{Path: self, Args: []string{childName, string(argument)}, Env: []string{}, Dir: "/", SysProcAttr: attributes}, nil
}

// mayRaisePriority reports whether this process may undo what nice does.
func mayRaisePriority() bool {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	err := unix.Capget(&header, &data[0])
	return err == nil && data[0].Effective&(1<<unix.CAP_SYS_NICE) != 0
}

// foreground gives every thread of a process the usual priority.
func foreground(id int) error {
	threads, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", id))
	if err != nil {
		return fmt.Errorf("look at the threads of process %d: %w", id, err)
	}
	for _, thread := range threads {
		tid, err := strconv.Atoi(thread.Name())
		if err != nil {
			return fmt.Errorf("look at the threads of process %d: %w", id, err)
		}
		if err := unix.Setpriority(unix.PRIO_PROCESS, tid, 0); err != nil && !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("raise the priority of process %d: %w", id, err)
		}
	}
	return nil
}

// killSession kills all processes of the session that id leads.
func killSession(id int) error {
	if err := unix.Kill(-id, unix.SIGKILL); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("kill session %d: %w", id, err)
	}
	return nil
}
