package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/lateen-dev/lateen/test/bench/proc"
)

// process is a program under measurement.
type process struct {
	name   string
	cmd    *exec.Cmd
	log    string // file of the output
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

// listening waits until a process accepts connections on addr.
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
	lines := bytes.Split(bytes.TrimSpace([]byte(proc.Text(p.log))), []byte("\n"))
	return string(lines[len(lines)-1])
}

// portOf is the port in an address.
func portOf(addr string) string { return addr[strings.LastIndexByte(addr, ':')+1:] }

// freePort returns a port that was free a moment ago.
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
