package local

import (
	"context"
	"io"
	"os"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/egress"
)

// egressShare divides a function's memory limit: the platform may hold a fourth of
// it for the function's connections, in addition to the function's own memory.
const egressShare = 4

// networkLink is a process's attachment to the egress network. The zero value has
// none.
type networkLink struct {
	attachment *egress.Attachment
}

// connector returns a function that attaches the process's network device to the
// egress stack, or nil. The attachment ends with the process.
func (o *networkLink) connector(ctx context.Context, network *egress.Network) func(*os.File) (io.Closer, error) {
	if network == nil {
		return nil
	}
	return func(device *os.File) (io.Closer, error) {
		attachment, err := network.Attach(context.WithoutCancel(ctx), device)
		if err != nil {
			return nil, err
		}
		o.attachment = attachment
		return attachment, nil
	}
}

// enableNetwork permits the function to open connections. Refused connections go to
// its log.
func (i *instance) enableNetwork() {
	if i.link.attachment != nil {
		i.link.attachment.Permit(egress.Grant{
			Project: string(i.spec.Project), Bytes: i.memory / egressShare,
			Refused: func(r egress.Refusal) { i.logPlatform(lateen.LevelWarning, r.String()) },
		})
	}
}

// used reports whether the process has tried to use the network, permitted or not.
func (o *networkLink) used() bool { return o.attachment != nil && o.attachment.Used() }

// held returns the memory that the platform holds for the process's connections, now
// and at its peak.
func (o *networkLink) held() (now, peak int64) {
	if o.attachment == nil {
		return 0, 0
	}
	return o.attachment.Held()
}

// outbound counts the connections of the function by host.
func (o *networkLink) outbound() []lateen.Outbound {
	if o.attachment == nil {
		return nil
	}
	return o.attachment.Usage().Outbound
}
