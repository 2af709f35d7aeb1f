// The lateen command contains the platform and its client in one binary.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/lateen-dev/lateen/internal/cli"
	"github.com/lateen-dev/lateen/internal/cli/platform"
	"github.com/lateen-dev/lateen/internal/config"
	"github.com/lateen-dev/lateen/internal/daemon"
	"github.com/lateen-dev/lateen/internal/guest/relay"
	"github.com/lateen-dev/lateen/internal/guest/wasi"
	"github.com/lateen-dev/lateen/internal/toolchain"
)

func main() {
	relay.Main() // a process that talks to a function's own program starts here, and ends
	wasi.Main()  // and one that runs a function's WebAssembly module
	ctx, stop := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() { // as long as the process
		<-signals
		stop()
		end(<-signals)
	}()
	os.Exit(cli.Run(ctx, cli.State{
		Args: os.Args[1:], Env: config.Environ(), Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr,
		Daemon: platform.Daemon{
			Start:   func(ctx context.Context, o platform.UpOptions) (platform.Server, error) { return up(ctx, o, stop) },
			Examine: daemon.Examine, Scrub: daemon.Scrub, Backup: daemon.Backup, Reload: daemon.Reload,
		},
	}))
}

// end ends the process at once, with the status of a process that a signal killed. The
// default action does not suffice: a shell starts background processes with SIGINT
// ignored. Processes of functions end with this one.
func end(by os.Signal) {
	status := 1
	if s, ok := by.(syscall.Signal); ok {
		status = 128 + int(s)
	}
	os.Exit(status)
}

// up starts the platform. stop is called when its controlling terminal is closed.
func up(ctx context.Context, o platform.UpOptions, stop func()) (platform.Server, error) {
	sockets, err := takeSockets()
	if err != nil {
		return nil, err
	}
	next, err := successor()
	if err != nil {
		return nil, err
	}
	return daemon.New(ctx, daemon.Options{
		Config: o.Config, Out: o.Out, Getenv: o.Getenv, Version: o.Version,
		Fetched: func(p toolchain.Progress) { o.Progress(p.Package, p.Done, p.Total) },
		Sockets: sockets, Reload: reloads(sockets.Len() > 0, stop), Successor: next,
	})
}
