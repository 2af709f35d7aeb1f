package local

import (
	"context"
	"io"
	"os"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/egress"
)

// outside is a process's way to the rest of the world. The zero value is none.
type outside struct {
	attachment *egress.Attachment
}

// connector returns what is given the process's network device, or nil. What
// it makes ends with the process.
func (o *outside) connector(ctx context.Context, network *egress.Network) func(*os.File) (io.Closer, error) {
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

// goOut lets the function connect to the outside. It reads in its log what is
// refused.
func (i *instance) goOut() {
	if i.outside.attachment != nil {
		i.outside.attachment.Permit(func(r egress.Refusal) { i.say(lateen.LevelWarning, r.String()) })
	}
}

// tried reports whether the process has tried to go out, permitted or not.
func (o *outside) tried() bool { return o.attachment != nil && o.attachment.Used() }

// outbound is whom the function has connected to.
func (o *outside) outbound() []lateen.Outbound {
	if o.attachment == nil {
		return nil
	}
	return o.attachment.Usage().Outbound
}
