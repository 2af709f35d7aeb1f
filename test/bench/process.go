package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// process is a program under measurement.
type process struct {
	name   string
	cmd    *exec.Cmd
	log    string // file of what it writes
	exited chan struct{}
}

// spawn starts cmd with its output in a file. It ends with ctx or by stop.
// Sockets are passed to it as systemd does.
func (b *bench) spawn(ctx context.Context, name, program string, args, env []string, sockets ...*os.File) (*process, error) {
	if program == "" {
		return nil, fmt.Errorf("%s: %w", name, errMissing)
	}
	if len(sockets) > 0 { // a shell has the process id that the program will have
		args = append([]string{"-c", fmt.Sprintf(`LISTEN_PID=$$ LISTEN_FDS=%d exec "$0" "$@"`, len(sockets)), program}, args...)
		program = "/bin/sh"
	}
	log, err := os.CreateTemp(b.dir, name+"-*.log")
	if err != nil {
		return nil, err
	}
	defer log.Close()
	p := &process{name: name, cmd: exec.CommandContext(ctx, program, args...), log: log.Name(), exited: make(chan struct{})}
	p.cmd.Env, p.cmd.Dir, p.cmd.ExtraFiles = env, b.dir, sockets
	p.cmd.Stdout, p.cmd.Stderr = log, log
	p.cmd.Cancel = func() error { return p.cmd.Process.Signal(syscall.SIGTERM) }
	p.cmd.WaitDelay = 10 * time.Second
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		defer close(p.exited)
		_ = p.cmd.Wait() // how it ended is in its log
	}()
	return p, nil
}

// ready waits until try succeeds.
func (p *process) ready(ctx context.Context, limit time.Duration, try func() error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for {
		err := try()
		if err == nil {
			return nil
		}
		select {
		case <-p.exited:
			return fmt.Errorf("%s ended: %s", p.name, p.tail())
		case <-ctx.Done():
			return fmt.Errorf("%s is not ready after %s: %w: %s", p.name, limit, err, p.tail())
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// listening waits until somebody accepts connections on addr.
func (p *process) listening(ctx context.Context, addr string) error {
	return p.ready(ctx, 10*time.Second, func() error {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
		if err == nil {
			conn.Close()
		}
		return err
	})
}

// stop ends the process, by force if it does not mind.
func (p *process) stop() {
	if p == nil {
		return
	}
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
	select {
	case <-p.exited:
	case <-time.After(20 * time.Second):
		_ = p.cmd.Process.Kill() // it may have ended
		<-p.exited
	}
}

// kill ends the process at once.
func (p *process) kill() {
	_ = p.cmd.Process.Kill() // it may have ended
	<-p.exited
}

// tail is the last line that the process wrote.
func (p *process) tail() string {
	lines := bytes.Split(bytes.TrimSpace([]byte(readText(p.log))), []byte("\n"))
	return string(lines[len(lines)-1])
}

// tree is the ids of a process and of everything that it started.
func tree(pid int) []int {
	children := map[int][]int{}
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil
	}
	for _, name := range stats {
		if fields := statOf(name); len(fields) > 1 {
			parent, _ := strconv.Atoi(fields[1])
			child, _ := strconv.Atoi(filepath.Base(filepath.Dir(name)))
			children[parent] = append(children[parent], child)
		}
	}
	all := []int{pid}
	for i := 0; i < len(all); i++ {
		all = append(all, children[all[i]]...)
	}
	return all
}

// statOf is /proc/PID/stat from its third field on: what comes before may
// contain spaces.
func statOf(name string) []string {
	text := readText(name)
	return strings.Fields(text[strings.LastIndexByte(text, ')')+1:])
}

// cpu is the processor time that processes have used since they started, with a
// resolution of a clock tick (10 ms).
func cpu(pids []int) time.Duration {
	var sum float64
	for _, pid := range pids {
		fields := statOf(fmt.Sprintf("/proc/%d/stat", pid))
		if len(fields) < 13 {
			continue
		}
		for _, field := range fields[11:13] { // utime, stime
			n, _ := strconv.ParseFloat(field, 64)
			sum += n
		}
	}
	return time.Duration(sum / 100 * float64(time.Second))
}

// ran is the time that all threads of processes have been on a processor, to
// the nanosecond.
func ran(pids []int) time.Duration {
	var sum time.Duration
	for _, pid := range pids {
		threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
		if err != nil {
			continue
		}
		for _, name := range threads {
			first, _, _ := strings.Cut(readText(name), " ")
			n, _ := strconv.ParseInt(first, 10, 64)
			sum += time.Duration(n)
		}
	}
	return sum
}

// resident is a process's memory in bytes: all of it, and with what it shares
// divided among those that share it.
func resident(pid int) (rss, pss int64) {
	for line := range strings.Lines(readText(fmt.Sprintf("/proc/%d/smaps_rollup", pid))) {
		var kib int64
		if _, err := fmt.Sscanf(line, "Rss: %d kB", &kib); err == nil {
			rss = kib << 10
		}
		if _, err := fmt.Sscanf(line, "Pss: %d kB", &kib); err == nil {
			pss = kib << 10
		}
	}
	return rss, pss
}

// portOf is the port in an address.
func portOf(addr string) string { return addr[strings.LastIndexByte(addr, ':')+1:] }

// freePort is a port that nobody listened on a moment ago.
func freePort(ctx context.Context) (string, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	addr, ok := l.Addr().(*net.TCPAddr)
	if !ok {
		return "", errors.New("a TCP listener has no TCP address")
	}
	return strconv.Itoa(addr.Port), nil
}
