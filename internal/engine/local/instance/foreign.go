package instance

import (
	"context"
	"net"
	"strings"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/guest"
)

// silentEndDelay is how long to wait, after a connection to a program broke, for the
// program's exit status.
const silentEndDelay = 250 * time.Millisecond

// IsLambda reports whether the program uses the AWS Lambda Runtime API.
func IsLambda(runtime string) bool { return strings.HasPrefix(runtime, "provided.") }

// lambda returns the settings of a program that uses the AWS Lambda Runtime API; nil
// for other programs.
func (o *Options) lambda() *guest.Lambda {
	f := o.Spec.Function
	if !IsLambda(f.Runtime) {
		return nil
	}
	return &guest.Lambda{
		Name: strings.Trim(o.Spec.Name, "/"), Memory: int(o.Memory >> 20), Timeout: int(o.duration().Seconds()), Gateway: f.AWSHandler != "",
	}
}

// configureUpstream configures the upstream client for a server that has started.
func (i *Instance) configureUpstream(s guest.ServerStarted) {
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
func (i *Instance) exchangeEnded(id uint64, broke bool) {
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
func (i *Instance) attributeLocked(request lateen.RequestID) {
	if i.Upstream.Ended == nil {
		return
	}
	if len(i.calls.open) > 1 {
		request = ""
	}
	i.Output.Attribute(request)
}
