package local

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/lateen-dev/lateen/internal/engine/local/instance"
	"github.com/lateen-dev/lateen/internal/engine/local/process"
	"github.com/lateen-dev/lateen/internal/guest/relay"
	"github.com/lateen-dev/lateen/internal/guest/wasi"
	"github.com/lateen-dev/lateen/internal/sandbox"
)

const (
	guestRelay   = sandbox.MountRoot + "/runtime/relay"
	programsName = "programs"    // name of the runner
	modulesName  = "WebAssembly" // name of the runner
)

// programs runs functions that bring a program of their own. The process boots the
// relay, which starts the program.
func (e *Engine) programs() *process.Runner {
	return &process.Runner{
		Name: programsName, Watches: true,
		Find: func(context.Context) (process.Command, error) { return e.self(relay.Argument) },
	}
}

// webAssembly runs functions that are WebAssembly modules. The process boots their
// guest, which is this binary.
func (e *Engine) webAssembly() *process.Runner {
	return &process.Runner{
		Name: modulesName, Compiles: true, Offline: true,
		Find: func(context.Context) (process.Command, error) { return e.self(wasi.Argument) },
	}
}

// self is the command that runs this binary as a guest, selected by the argument.
func (e *Engine) self(argument string) (process.Command, error) {
	self, err := os.Executable()
	if err == nil {
		err = e.host.Reachable(filepath.Dir(self))
	}
	if err != nil {
		return process.Command{}, fmt.Errorf("find this program: %w", err)
	}
	return process.Command{Path: self, Args: []string{argument}, Mounts: []sandbox.Mount{{Host: self, Guest: guestRelay}}}, nil
}

// isProgram reports whether functions of this runtime bring a program.
func isProgram(runtime string) bool { return runtime == "executable" || instance.IsLambda(runtime) }
