// Package wasi is the guest of functions that are WebAssembly modules: commands of WASI
// preview 1 that read a request as CGI programs do, from the environment and standard
// input, and write the response to standard output.
//
// The guest compiles the module and runs it, in a sandbox of its own like every other
// runtime. A module has read-only access to its function's files, a clock and its own
// memory, and neither a network nor other files. Every request gets a new instance of
// the module, with memory that no other request has used.
//
// The guest is this same program: a program that starts such guests calls [Main] first
// in main, and in TestMain.
package wasi

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/lateen-dev/lateen/internal/guest"
)

// Argument is the only argument of the guest.
const Argument = "lateen-wasi"

// Runtime is the name of the runtime in a function's configuration.
const Runtime = "wasi"

// Main does not return in a process that is a guest of this package. In any other
// process it does nothing.
func Main() {
	if len(os.Args) != 2 || os.Args[1] != Argument {
		return
	}
	status := 0
	if err := run(context.Background()); err != nil { //nolint:forbidigo // the root of this process
		fmt.Fprintln(os.Stderr, "wasi:", err)
		status = 1
	}
	os.Exit(status) //nolint:forbidigo // a guest is its own main program
}

// run runs a guest until its supervisor ends.
func run(ctx context.Context) error {
	conn, listener, err := guest.Inherit()
	if err != nil {
		return err
	}
	c, err := newCompiler(ctx)
	if err != nil {
		return err
	}
	control, messages := guest.NewSender(conn), guest.NewReader(conn)
	control.Send(guest.TypeWaiting, guest.Waiting{Version: c.version, Tag: c.tag()})
	m, err := messages.Next()
	if errors.Is(err, io.EOF) {
		return nil
	}
	if err != nil {
		return err
	}
	var spec guest.Activate
	if err := m.Into(&spec); err != nil {
		return err
	}
	go func() { // the guest ends with its supervisor
		_, _ = messages.Next()
		os.Exit(0) //nolint:forbidigo // as in Main
	}()
	loaded, err := c.load(ctx, &spec, func() { control.Send(guest.TypeArchiveRejected, struct{}{}) })
	if err != nil {
		control.Send(guest.TypeUnrecoverable, guest.Unrecoverable{ExitCode: 1, Message: err.Error()})
		return nil //nolint:nilerr // the supervisor has received the error, and logs it
	}
	s := &server{module: loaded, control: control}
	control.Send(guest.TypeServerStarted, guest.ServerStarted{})
	return s.serve(listener)
}
