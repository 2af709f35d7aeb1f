package local

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/engine/local/process"
	"github.com/lateen-dev/lateen/internal/guest"
	"github.com/lateen-dev/lateen/internal/guest/relay"
	"github.com/lateen-dev/lateen/internal/sandbox"
)

const (
	guestRelay   = sandbox.MountRoot + "/runtime/relay"
	programsName = "programs" // name of the runner

	// silentEndDelay is how long to wait, after a connection to a program broke, for
	// the program's exit status.
	silentEndDelay = 250 * time.Millisecond
)

// programs runs functions that bring a program of their own. The process boots the
// relay, which starts the program.
func (e *Engine) programs() *process.Runner {
	return &process.Runner{
		Name: programsName, Watches: true,
		Find: func(context.Context) (process.Command, error) { return e.self(relay.Argument) },
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
func isProgram(runtime string) bool { return runtime == "executable" || isLambda(runtime) }

// isLambda reports whether the program uses the AWS Lambda Runtime API.
func isLambda(runtime string) bool { return strings.HasPrefix(runtime, "provided.") }

// lambda returns the settings of a program that uses the AWS Lambda Runtime API; nil
// for other programs.
func (i *instance) lambda() *guest.Lambda {
	f := i.spec.Function
	if !isLambda(f.Runtime) {
		return nil
	}
	return &guest.Lambda{
		Name: strings.Trim(i.spec.Name, "/"), Memory: int(i.memory >> 20), Timeout: int(i.duration().Seconds()), Gateway: f.AWSHandler != "",
	}
}

// configureUpstream configures the upstream client for a server that has started.
func (i *instance) configureUpstream(s guest.ServerStarted) {
	if s.Connects {
		dial := i.Upstream.Dial
		i.Upstream.Dial = func(ctx context.Context) (net.Conn, error) {
			conn, err := dial(ctx)
			if err != nil {
				return nil, err
			}
			return guest.Receive(ctx, conn)
		}
		i.Upstream.Foreign = true
	}
	if s.Silent {
		i.Upstream.Ended = i.exchangeEnded
	}
}

// exchangeEnded ends the call of a server that reports no end of calls. After a
// broken connection it waits a moment, so that explain can find the reason first.
func (i *instance) exchangeEnded(id uint64, broke bool) {
	end := func() {
		i.mu.Lock()
		defer i.mu.Unlock()
		i.calls.end(id, nil)
		i.endIfIdleLocked()
	}
	if broke {
		time.AfterFunc(silentEndDelay, end)
		return
	}
	end()
}

// attributeLocked assigns the following output of a program to a request if it is
// the only open one. Otherwise the output belongs to no request.
func (i *instance) attributeLocked(request lateen.RequestID) {
	if i.Upstream.Ended == nil {
		return
	}
	if len(i.calls.open) > 1 {
		request = ""
	}
	i.Output.Attribute(request)
}
