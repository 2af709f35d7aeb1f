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
	"github.com/lateen-dev/lateen/internal/guest"
	"github.com/lateen-dev/lateen/internal/guest/relay"
	"github.com/lateen-dev/lateen/internal/sandbox"
)

const (
	guestRelay   = sandbox.MountRoot + "/runtime/relay"
	programsName = "programs" // of the runner

	// silentSettle is how long the end of a program may take to show after a
	// connection to it has broken.
	silentSettle = 250 * time.Millisecond
)

// programs runs functions that bring a program of their own: what boots is the
// relay, which starts that.
func (e *Engine) programs() *runner {
	return &runner{
		name: programsName, watches: true,
		find: func(context.Context) (command, error) { return e.self(relay.Argument) },
	}
}

// self is this same program as a guest, which the argument tells it to be.
func (e *Engine) self(argument string) (command, error) {
	self, err := os.Executable()
	if err == nil {
		err = e.reachable(filepath.Dir(self))
	}
	if err != nil {
		return command{}, fmt.Errorf("find this program: %w", err)
	}
	return command{path: self, args: []string{argument}, mounts: []sandbox.Mount{{Host: self, Guest: guestRelay}}}, nil
}

// isProgram reports whether functions with this runtime bring a program.
func isProgram(runtime string) bool { return runtime == "executable" || isLambda(runtime) }

// isLambda reports whether that asks the AWS Lambda Runtime API for its requests.
func isLambda(runtime string) bool { return strings.HasPrefix(runtime, "provided.") }

// lambda is what a program that speaks the AWS Lambda Runtime API is told; nil
// for others.
func (i *instance) lambda() *guest.Lambda {
	f := i.spec.Function
	if !isLambda(f.Runtime) {
		return nil
	}
	return &guest.Lambda{
		Name: strings.Trim(i.spec.Name, "/"), Memory: int(i.memory >> 20), Timeout: int(i.duration().Seconds()), Gateway: f.AWSHandler != "",
	}
}

// meet takes note of how a server that has started wants to be talked to.
func (i *instance) meet(s guest.ServerStarted) {
	if s.Connects {
		dial := i.upstream.Dial
		i.upstream.Dial = func(ctx context.Context) (net.Conn, error) {
			conn, err := dial(ctx)
			if err != nil {
				return nil, err
			}
			return guest.Receive(ctx, conn)
		}
		i.upstream.Foreign = true
	}
	if s.Silent {
		i.upstream.Ended = i.exchanged
	}
}

// exchanged ends the call of a server that says nothing of calls. Where its
// connection broke, that is left to whoever explains it, for a moment.
func (i *instance) exchanged(id uint64, broke bool) {
	end := func() {
		i.mu.Lock()
		defer i.mu.Unlock()
		i.calls.end(id, nil)
		i.restLocked()
	}
	if broke {
		time.AfterFunc(silentSettle, end)
		return
	}
	end()
}

// attribute says whose lines a program's are that are read from now on, if
// there is but one request they can be of. Others are nobody's.
func (i *instance) attributeLocked(request lateen.RequestID) {
	if i.upstream.Ended == nil {
		return
	}
	if len(i.calls.open) > 1 {
		request = ""
	}
	i.output.attribute(request)
}
