package local

import (
	"context"
	"io"
	"os"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/egress"
)

// egressShare is the part of a function's memory that the platform may hold for
// its connections, beside what the function itself uses: a fourth.
const egressShare = 4

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
		i.outside.attachment.Permit(egress.Grant{
			Project: string(i.spec.Project), Bytes: i.memory / egressShare,
			Refused: func(r egress.Refusal) { i.say(lateen.LevelWarning, r.String()) },
		})
	}
}

// tried reports whether the process has tried to go out, permitted or not.
func (o *outside) tried() bool { return o.attachment != nil && o.attachment.Used() }

// held is how much memory the platform holds for it, now and at most so far.
func (o *outside) held() (now, peak int64) {
	if o.attachment == nil {
		return 0, 0
	}
	return o.attachment.Held()
}

// outbound is whom the function has connected to.
func (o *outside) outbound() []lateen.Outbound {
	if o.attachment == nil {
		return nil
	}
	return o.attachment.Usage().Outbound
}
