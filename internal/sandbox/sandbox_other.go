//go:build !linux

package sandbox

import (
	"fmt"
	"os/exec"
	"runtime"
)

// Child does nothing here: no walls are built.
func Child() {}

func (s *Sandbox) detect() error {
	why := "Lateen builds walls on Linux only, this is " + runtime.GOOS
	s.walls = []Wall{{WallMounts, why}, {WallIdentity, why}, {WallPrivileges, why}}
	return nil
}

func (s *Sandbox) launch(spec Spec) (*exec.Cmd, error) {
	cmd := &exec.Cmd{
		Path: spec.Path, Args: append([]string{spec.Path}, spec.Args...), Env: spec.Env, Dir: "/",
		ExtraFiles: spec.Files,
	}
	if spec.Stdout != nil {
		cmd.Stdout = spec.Stdout
	}
	if spec.Stderr != nil {
		cmd.Stderr = spec.Stderr
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", spec.Path, err)
	}
	return cmd, nil
}

func foreground(int) error { return nil }

// killSession has nothing to do: children of the process are left to it.
func killSession(int) error { return nil }
