package control

import (
	"context"
	"sync"

	"github.com/lateen-dev/lateen"
)

// quota is how much content each team has brought. It follows the store.
type quota struct {
	mu   sync.Mutex // guards below
	used map[lateen.TeamID]int64
}

// storage returns how many bytes of content a team has brought.
func (c *Control) storage(ctx context.Context, team lateen.TeamID) (int64, error) {
	c.quota.mu.Lock()
	used, known := c.quota.used[team]
	c.quota.mu.Unlock()
	if known {
		return used, nil
	}
	used, err := c.Store.SumHoldings(ctx, team)
	if err != nil {
		return 0, err
	}
	c.quota.mu.Lock()
	defer c.quota.mu.Unlock()
	c.quota.used[team] = used
	return used, nil
}

// left is how many bytes of content a team may still bring; it is at most most.
func (c *Control) left(ctx context.Context, team lateen.TeamID, most int64) (int64, error) {
	if c.TeamBytes <= 0 {
		return most, nil
	}
	used, err := c.storage(ctx, team)
	return max(0, min(most, c.TeamBytes-used)), err
}

// hold notes content that a team has brought.
func (c *Control) hold(ctx context.Context, team lateen.TeamID, blobs ...lateen.Blob) error {
	added, err := c.Store.PutHoldings(ctx, team, blobs, c.now())
	if err != nil {
		return err
	}
	c.quota.mu.Lock()
	defer c.quota.mu.Unlock()
	if _, known := c.quota.used[team]; known {
		c.quota.used[team] += added
	}
	return nil
}

// sweepHoldings forgets the content that teams brought before a time and that
// neither a deployment, by m, nor an upload names.
func (c *Control) sweepHoldings(ctx context.Context, m *marks, before lateen.Millis) error {
	uploads, err := c.Store.ListUploadDigests(ctx)
	if err != nil {
		return err
	}
	for _, d := range uploads {
		m.wanted[d] = true
	}
	digests, err := c.Store.ListHoldings(ctx, before)
	if err != nil {
		return err
	}
	var gone []lateen.Digest
	for _, d := range digests {
		if !m.wanted[d] {
			gone = append(gone, d)
		}
	}
	err = c.Store.DeleteHoldings(ctx, gone, before)
	c.quota.mu.Lock()
	defer c.quota.mu.Unlock()
	clear(c.quota.used)
	return err
}

func (c *Control) errStorage() error {
	return lateen.ErrTeamStorage.With("the files of this team's deployments would take more than the %d bytes that a team may have", c.TeamBytes)
}

// unpacked collects what the assembly of a deployment brings, and ends it where
// that is more than its team may bring.
type unpacked struct {
	mu    sync.Mutex // guards below
	seen  map[lateen.Digest]bool
	blobs []lateen.Blob
	left  int64
}

// add notes content. Where all of it would be too much, what the team has
// already is told apart from what it has not.
func (u *unpacked) add(ctx context.Context, c *Control, team lateen.TeamID, blob lateen.Blob) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.seen[blob.Digest] {
		return nil
	}
	u.seen[blob.Digest] = true
	u.blobs = append(u.blobs, blob)
	if u.left -= blob.Size; u.left >= 0 {
		return nil
	}
	err := c.hold(ctx, team, u.blobs...)
	if err != nil {
		return err
	}
	u.blobs = nil
	used, err := c.storage(ctx, team)
	if err != nil {
		return err
	}
	if u.left = c.TeamBytes - used; u.left < 0 {
		return c.errStorage()
	}
	return nil
}
