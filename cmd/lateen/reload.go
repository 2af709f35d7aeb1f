package main

import (
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/lateen-dev/lateen/internal/config"
	"github.com/lateen-dev/lateen/internal/daemon"
	"github.com/lateen-dev/lateen/internal/socket"
)

// takeSockets returns the sockets that this process inherited.
func takeSockets() (*socket.Set, error) {
	s, err := socket.Inherit(config.Environ(), os.Getpid())
	config.Unset(socket.Vars()...)
	return s, err
}

// successor is the program that a reload executes: the file that now has the name of
// this program, with the same arguments and environment.
func successor() (*daemon.Successor, error) {
	program := os.Args[0] // which may be a link to another version then
	if !filepath.IsAbs(program) {
		var err error
		if program, err = os.Executable(); err != nil {
			return nil, fmt.Errorf("find this program: %w", err)
		}
	}
	return &daemon.Successor{
		Program: program, Args: os.Args, Environ: config.Environ(),
		Before: func() {
			signal.Ignore(syscall.SIGHUP) // until the successor listens to it; as in the successor
			signal.Reset(os.Interrupt, syscall.SIGTERM)
		},
	}, nil
}

// reloads sends a value for each SIGHUP that requests a reload, from now on. A SIGHUP
// after the controlling terminal was closed calls hangup instead. again is true in a
// process that was reloaded or has inherited sockets: there, an ignored SIGHUP is not a
// sign of nohup(1).
func reloads(again bool, hangup func()) <-chan struct{} {
	if signal.Ignored(syscall.SIGHUP) && !again {
		leaveTerminal() // no terminal, no hanging up
	}
	interactive := hasTerminal()
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGHUP)
	wanted := make(chan struct{}, 1)
	go func() { // as long as the process
		for range signals {
			if interactive && !hasTerminal() {
				hangup()
				continue
			}
			select {
			case wanted <- struct{}{}:
			default: // one is about to be done
			}
		}
	}()
	return wanted
}

const terminal = "/dev/tty"

// hasTerminal reports whether this process has a controlling terminal.
func hasTerminal() bool {
	f, err := os.OpenFile(terminal, os.O_RDWR|syscall.O_NOCTTY, 0)
	if err == nil {
		f.Close()
	}
	return err == nil
}

// leaveTerminal gives up the controlling terminal, if there is one.
func leaveTerminal() {
	f, err := os.OpenFile(terminal, os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		return
	}
	defer f.Close()
	_ = unix.IoctlSetInt(int(f.Fd()), unix.TIOCNOTTY, 0) // its hanging up ends the platform, then
}
