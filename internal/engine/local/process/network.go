package process

import (
	"context"
	"io"
	"os"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/egress"
)

// Link is a process's attachment to the egress network. The zero value has
// none.
type Link struct {
	attachment *egress.Attachment
}

// connector returns a function that attaches the process's network device to the
// egress stack, or nil. The attachment ends with the process.
func (o *Link) connector(ctx context.Context, network *egress.Network) func(*os.File) (io.Closer, error) {
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

// Used reports whether the process has tried to use the network, permitted or not.
func (o *Link) Used() bool { return o.attachment != nil && o.attachment.Used() }

// Held returns the memory that the platform holds for the process's connections, now
// and at its peak.
func (o *Link) Held() (now, peak int64) {
	if o.attachment == nil {
		return 0, 0
	}
	return o.attachment.Held()
}

// Outbound counts the connections of the function by host.
func (o *Link) Outbound() []lateen.Outbound {
	if o.attachment == nil {
		return nil
	}
	return o.attachment.Usage().Outbound
}

// Permit permits the function to open connections.
func (o *Link) Permit(g egress.Grant) {
	if o.attachment != nil {
		o.attachment.Permit(g)
	}
}
