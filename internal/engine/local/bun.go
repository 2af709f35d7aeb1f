package local

import (
	"context"
	"path/filepath"

	"github.com/lateen-dev/lateen/internal/engine/local/process"
	"github.com/lateen-dev/lateen/internal/sandbox"
)

const (
	bunName       = "Bun 1" // name of the runner
	guestBun      = sandbox.MountRoot + "/runtime/bun"
	guestBunAgent = sandbox.MountRoot + "/runtime/agent"
)

// isBun reports whether functions with this runtime run in Bun.
func isBun(runtime string) bool { return runtime == "bun1.x" || runtime == "bun1" }

// bun runs functions in Bun. The process boots the relay, which starts Bun as the
// function's program. The first function that needs Bun triggers its download.
func (e *Engine) bun() *process.Runner {
	r := e.programs()
	relay := r.Find
	r.Name, r.Env = bunName, []string{"NODE_ENV=production", "DO_NOT_TRACK=1", "BUN_RUNTIME_TRANSPILER_CACHE_PATH=0"}
	r.Find = func(ctx context.Context) (process.Command, error) {
		c, err := relay(ctx)
		if err != nil {
			return c, err
		}
		program, err := e.o.Toolchain.Bun(ctx)
		if err == nil {
			err = e.host.Reachable(filepath.Dir(program))
		}
		c.Named, c.Interpreter = program, []string{program, e.bunAgent}
		c.Mounts = append(c.Mounts, sandbox.Mount{Host: program, Guest: guestBun}, sandbox.Mount{Host: filepath.Dir(e.bunAgent), Guest: guestBunAgent})
		return c, err
	}
	return r
}
