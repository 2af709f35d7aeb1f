package control

import (
	"context"
	"errors"
	"sync"

	"github.com/lateen-dev/lateen"
)

// quota is how much content each team has brought. It follows the store.
type quota struct {
	mu      sync.Mutex // guards below
	used    map[lateen.TeamID]int64
	coming  map[lateen.TeamID]int64 // of content on its way, which is not noted yet
	holding int                     // calls of hold under way
	version int                     // of what the store has; changes with each call of hold and each sweep
}

// storage returns how many bytes of content a team has brought.
func (c *Control) storage(ctx context.Context, team lateen.TeamID) (int64, error) {
	c.quota.mu.Lock()
	used, known := c.quota.used[team]
	version, quiet := c.quota.version, c.quota.holding == 0
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
	if quiet && version == c.quota.version { // nothing was noted meanwhile, which used may have or not
		c.quota.used[team] = used
	}
	return used, nil
}

// expect takes room for content that a team is about to bring, until hold notes the
// content or forgo gives the room back. Errors: [lateen.ErrTeamStorage], also for
// no content where the team has brought more than it may.
func (c *Control) expect(ctx context.Context, team lateen.TeamID, size int64) error {
	if c.TeamBytes <= 0 {
		return nil
	}
	used, err := c.storage(ctx, team)
	if err != nil {
		return err
	}
	c.quota.mu.Lock()
	defer c.quota.mu.Unlock()
	if now, known := c.quota.used[team]; known {
		used = now
	}
	if used+c.quota.coming[team]+size > c.TeamBytes {
		return c.errStorage()
	}
	c.quota.coming[team] += size
	return nil
}

// forgo gives back the room of content that does not come.
func (c *Control) forgo(team lateen.TeamID, size int64) {
	c.quota.mu.Lock()
	defer c.quota.mu.Unlock()
	c.forgoLocked(team, size)
}

func (c *Control) forgoLocked(team lateen.TeamID, size int64) {
	if c.TeamBytes <= 0 {
		return
	}
	if c.quota.coming[team] -= size; c.quota.coming[team] == 0 {
		delete(c.quota.coming, team)
	}
}

// hold notes content that a team has brought, in place of the room that was expected
// to be taken, which it gives back in any case.
func (c *Control) hold(ctx context.Context, team lateen.TeamID, expected int64, blobs ...lateen.Blob) error {
	c.quota.mu.Lock()
	c.quota.holding++
	c.quota.version++
	c.quota.mu.Unlock()
	added, err := c.Store.PutHoldings(ctx, team, blobs, c.now())
	c.quota.mu.Lock()
	defer c.quota.mu.Unlock()
	c.quota.holding--
	c.forgoLocked(team, expected)
	if err != nil {
		delete(c.quota.used, team) // the store may have it none the less
		return err
	}
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
	c.quota.version++
	return err
}

func (c *Control) errStorage() error {
	return lateen.ErrTeamStorage.With("the files of this team's deployments would take more than the %d bytes that a team may have", c.TeamBytes)
}

// unpacked collects what the assembly of a deployment brings, and ends it where
// that is more than its team may bring.
type unpacked struct {
	mu       sync.Mutex // guards below
	seen     map[lateen.Digest]bool
	blobs    []lateen.Blob
	expected int64
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
	err := c.expect(ctx, team, blob.Size)
	if err == nil {
		u.expected += blob.Size
		return nil
	}
	if !errors.Is(err, lateen.ErrTeamStorage) {
		return err
	}
	if err := u.hold(ctx, c, team); err != nil {
		return err
	}
	return c.expect(ctx, team, 0)
}

// hold notes in the store what was collected.
func (u *unpacked) hold(ctx context.Context, c *Control, team lateen.TeamID) error {
	blobs, expected := u.blobs, u.expected
	u.blobs, u.expected = nil, 0
	return c.hold(ctx, team, expected, blobs...)
}
