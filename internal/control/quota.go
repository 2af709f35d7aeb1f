package control

import (
	"context"
	"errors"
	"sync"

	"github.com/lateen-dev/lateen"
)

// quota caches the bytes of content that each team has stored. The store is
// authoritative.
type quota struct {
	mu      sync.Mutex // guards the fields below
	used    map[lateen.TeamID]int64
	coming  map[lateen.TeamID]int64 // bytes of reserved content that is not recorded yet
	holding int                     // calls of hold in progress
	version int                     // version of the stored usage; changes with each call of hold and each sweep
}

// storage returns the bytes of content that a team has stored.
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
	if quiet && version == c.quota.version { // without a concurrent change, used is current
		c.quota.used[team] = used
	}
	return used, nil
}

// reserveStorage reserves storage for content of a team until hold records the
// content or releaseStorage returns the reservation. Errors:
// [lateen.ErrTeamStorage], also for size 0 if the team exceeds its quota.
func (c *Control) reserveStorage(ctx context.Context, team lateen.TeamID, size int64) error {
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

// releaseStorage returns the reservation for content that is not stored.
func (c *Control) releaseStorage(team lateen.TeamID, size int64) {
	c.quota.mu.Lock()
	defer c.quota.mu.Unlock()
	c.releaseStorageLocked(team, size)
}

func (c *Control) releaseStorageLocked(team lateen.TeamID, size int64) {
	if c.TeamBytes <= 0 {
		return
	}
	if c.quota.coming[team] -= size; c.quota.coming[team] == 0 {
		delete(c.quota.coming, team)
	}
}

// hold records content that a team has stored, in place of its reservation. It
// returns the reservation in any case.
func (c *Control) hold(ctx context.Context, team lateen.TeamID, expected int64, blobs ...lateen.Blob) error {
	c.quota.mu.Lock()
	c.quota.holding++
	c.quota.version++
	c.quota.mu.Unlock()
	added, err := c.Store.PutHoldings(ctx, team, blobs, c.now())
	c.quota.mu.Lock()
	defer c.quota.mu.Unlock()
	c.quota.holding--
	c.releaseStorageLocked(team, expected)
	if err != nil {
		delete(c.quota.used, team) // the store may have recorded it nevertheless
		return err
	}
	if _, known := c.quota.used[team]; known {
		c.quota.used[team] += added
	}
	return nil
}

// sweepHoldings removes the records of content that teams stored before a time and
// that neither a deployment in m nor an upload references.
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
	return lateen.ErrTeamStorage.With("the files of this team's deployments exceed its storage quota of %d bytes", c.TeamBytes)
}

// unpacked collects the content of an assembly, and ends the assembly if the content
// exceeds the team's quota.
type unpacked struct {
	mu       sync.Mutex // guards the fields below
	seen     map[lateen.Digest]bool
	blobs    []lateen.Blob
	expected int64
}

// add reserves storage for content. If the reservations would exceed the quota, add
// records the collected content, of which only the part counts that is new to the
// team.
func (u *unpacked) add(ctx context.Context, c *Control, team lateen.TeamID, blob lateen.Blob) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.seen[blob.Digest] {
		return nil
	}
	u.seen[blob.Digest] = true
	u.blobs = append(u.blobs, blob)
	err := c.reserveStorage(ctx, team, blob.Size)
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
	return c.reserveStorage(ctx, team, 0)
}

// hold records the collected content in the store.
func (u *unpacked) hold(ctx context.Context, c *Control, team lateen.TeamID) error {
	blobs, expected := u.blobs, u.expected
	u.blobs, u.expected = nil, 0
	return c.hold(ctx, team, expected, blobs...)
}
