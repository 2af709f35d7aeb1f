package sandbox

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

func (p *Process) signalLocked(sig syscall.Signal) error {
	err := error(unix.ESRCH)
	switch {
	case p.pidfd >= 0:
		err = unix.PidfdSendSignal(p.pidfd, sig, nil, 0)
	case p.cmd != nil:
		err = p.cmd.Process.Signal(sig)
	}
	if err != nil && !errors.Is(err, unix.ESRCH) && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("signal process %d: %w", p.id, err)
	}
	return nil
}

// killLocked kills the process and its descendants: by the cgroup, by the first process
// of the namespace, and by the session, as far as the process has them.
func (p *Process) killLocked() error {
	err := p.signalLocked(unix.SIGKILL)
	if p.group != nil {
		err = errors.Join(err, p.group.Kill())
	}
	if p.cmd != nil && p.pidNamespace == 0 {
		err = errors.Join(err, killSession(p.id))
	}
	return err
}

// killSession kills all processes of the session that id leads.
func killSession(id int) error {
	if err := unix.Kill(-id, unix.SIGKILL); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("kill session %d: %w", id, err)
	}
	return nil
}

// await waits for the end of the process.
func (p *Process) await() Exit {
	if p.cmd == nil {
		return p.awaitAdopted()
	}
	if p.pidNamespace == 0 { // its descendants do not end with it
		_ = unix.Waitid(unix.P_PID, p.id, nil, unix.WEXITED|unix.WNOWAIT, nil) // before the kernel can reuse its id
		_ = killSession(p.id)
	}
	_ = p.cmd.Wait() // the state has the result
	return exitOf(p.cmd.ProcessState)
}

// mayRaisePriority reports whether this process may lower a niceness again.
func mayRaisePriority() bool {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	err := unix.Capget(&header, &data[0])
	return err == nil && data[0].Effective&(1<<unix.CAP_SYS_NICE) != 0
}

// foreground gives every thread of a process and of its descendants the usual priority:
// the keeper may be between p and its program.
func foreground(id int) error {
	err := raise(id)
	for _, child := range childrenOf(id) {
		err = errors.Join(err, foreground(child))
	}
	return err
}

func raise(id int) error {
	threads, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", id))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("list the threads of process %d: %w", id, err)
	}
	for _, thread := range threads {
		tid, err := strconv.Atoi(thread.Name())
		if err != nil {
			return fmt.Errorf("list the threads of process %d: %w", id, err)
		}
		if err := unix.Setpriority(unix.PRIO_PROCESS, tid, 0); err != nil && !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("raise the priority of process %d: %w", id, err)
		}
	}
	return nil
}
