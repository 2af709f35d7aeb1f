package control

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/artifact"
	"github.com/lateen-dev/lateen/internal/store"
)

const (
	sweepAtOnce  = 100_000 // candidates of one sweep
	dropsPerLock = 256     // artifacts dropped during one lock, in which no deployment is accepted
	donePerWrite = 1000    // candidates or events removed in one transaction

	eventAge  = 7 * 24 * time.Hour // minimum age of an event that is removed
	minEvents = 10_000             // number of the latest events that are never removed
)

// sweepEvery sweeps immediately and then after each period until ctx ends.
func (c *Control) sweepEvery(ctx context.Context, period time.Duration) {
	for ctx.Err() == nil {
		if c.AuditAge > 0 {
			if _, err := c.Store.ExpireAudit(ctx, lateen.MillisOf(c.before(c.AuditAge))); err != nil && ctx.Err() == nil {
				c.Log.WarnContext(ctx, "old rows of the audit log were not removed", "err", err)
			}
		}
		c.expireUsage(ctx)
		if err := c.expireEvents(ctx); err != nil && ctx.Err() == nil {
			c.Log.WarnContext(ctx, "old events were not removed", "err", err)
		}
		if err := c.Store.Optimize(ctx); err != nil && ctx.Err() == nil {
			c.Log.WarnContext(ctx, "the statistics of the database were not refreshed", "err", err)
		}
		swept, err := c.Sweep(ctx)
		switch {
		case err != nil && ctx.Err() == nil:
			c.Log.WarnContext(ctx, "the sweep of artifacts failed: no storage is freed until one succeeds", "err", err,
				"hint", "`lateen doctor --scrub` names the deployments whose content is missing or damaged: deploy or delete them")
		case swept.Files > 0:
			c.Log.InfoContext(ctx, "artifacts swept", "files", swept.Files, "bytes", swept.Bytes)
		}
		select {
		case <-time.After(period):
		case <-ctx.Done():
		}
	}
	if err := c.noteFresh(context.WithoutCancel(ctx)); err != nil {
		c.Log.WarnContext(ctx, "new artifacts were not recorded: unreferenced ones are not swept", "err", err)
	}
}

// expireEvents removes old events, some in each transaction.
func (c *Control) expireEvents(ctx context.Context) error {
	for {
		n, err := c.Store.DeleteEvents(ctx, lateen.MillisOf(c.before(eventAge)), minEvents, donePerWrite)
		if err != nil || n < donePerWrite {
			return err
		}
	}
}

// before returns the current time minus age. If the host's clock was set forward,
// before uses the monotonic clock, so that content does not age by the change.
func (c *Control) before(age time.Duration) time.Time {
	now := c.Now().Round(0)
	if monotonic := c.began.Add(c.Uptime()); monotonic.Before(now) {
		now = monotonic
	}
	return now.Add(-age)
}

// Sweep drops uploads older than the grace period. It then drops the artifacts known
// to this store that neither a deployment nor an upload references, if they became
// unreferenced, or were stored without a reference, before the grace period.
func (c *Control) Sweep(ctx context.Context) (artifact.Swept, error) {
	before := c.before(c.Grace)
	if _, err := c.Store.DeleteUploads(ctx, lateen.MillisOf(before)); err != nil {
		return artifact.Swept{}, err
	}
	if err := c.noteFresh(ctx); err != nil {
		return artifact.Swept{}, err
	}
	candidates, err := c.Store.ListCandidates(ctx, "", lateen.MillisOf(before), sweepAtOnce)
	if err != nil || len(candidates) == 0 {
		return artifact.Swept{}, err
	}
	m := marks{roots: make(map[store.Root]bool), wanted: make(map[lateen.Digest]bool)}
	if err := c.mark(ctx, &m); err != nil { // most references, while deployments are still accepted
		return artifact.Swept{}, err
	}
	all, err := c.expandAll(ctx, candidates)
	if err != nil {
		return artifact.Swept{}, err
	}
	var swept artifact.Swept
	open := make([]bool, len(candidates)) // candidates with content within the grace period
	for chunk := range slices.Chunk(all, dropsPerLock) {
		n, err := c.drop(ctx, &m, chunk, before, open)
		swept.Files, swept.Bytes = swept.Files+n.Files, swept.Bytes+n.Bytes
		if err != nil {
			return swept, err
		}
	}
	if err := c.sweepHoldings(ctx, &m, lateen.MillisOf(before)); err != nil {
		return swept, err
	}
	if c.Trees != nil { // trees can be laid out again from artifacts
		if _, err := c.Trees.Sweep(ctx, func(d lateen.Digest) bool { return m.wanted[d] }, before); err != nil {
			return swept, fmt.Errorf("sweep trees: %w", err)
		}
	}
	return swept, c.finish(ctx, candidates, open)
}

// finish removes the candidates that were examined and are not open.
func (c *Control) finish(ctx context.Context, candidates []store.Candidate, open []bool) error {
	var done []store.Candidate
	for i, candidate := range candidates {
		if !open[i] {
			done = append(done, candidate)
		}
	}
	for chunk := range slices.Chunk(done, donePerWrite) {
		if err := c.Store.DeleteCandidates(ctx, chunk); err != nil {
			return err
		}
	}
	return nil
}

// noteFresh makes the artifacts stored since the last call candidates.
func (c *Control) noteFresh(ctx context.Context) error {
	return c.Artifacts.Fresh(func(digests []lateen.Digest) error {
		names := make([]string, len(digests))
		for i, d := range digests {
			names[i] = string(d)
		}
		return c.Store.NoteCandidates(ctx, store.SweepContent, names, c.now())
	})
}

// noteManifest makes the previous manifest of a deployment a candidate, if another
// manifest replaces it.
func (c *Control) noteManifest(ctx context.Context, q *store.Queries, before, after lateen.Digest) error {
	if before == "" || before == after {
		return nil
	}
	return q.NoteCandidates(ctx, store.SweepManifest, []string{string(before)}, c.now())
}

// covered is a digest that a candidate covers.
type covered struct {
	digest lateen.Digest
	of     int // index of the candidate
}

// expandAll returns the digests that candidates cover, in the order of their
// removal. An artifact that names others comes after them, so that the next sweep
// finds all of them if this one is interrupted.
func (c *Control) expandAll(ctx context.Context, candidates []store.Candidate) ([]covered, error) {
	var all []covered
	for i, candidate := range candidates {
		digests, err := c.expand(ctx, candidate)
		if err != nil {
			return nil, err
		}
		for _, digest := range slices.Backward(digests) {
			all = append(all, covered{digest, i})
		}
	}
	return all, nil
}

// expand returns the digests that a candidate covers, an artifact before those that
// it names. Digests that cannot be determined are not swept.
func (c *Control) expand(ctx context.Context, of store.Candidate) ([]lateen.Digest, error) {
	digest := lateen.Digest(of.Name)
	var digests []lateen.Digest
	var err error
	switch of.Kind {
	case store.SweepManifest:
		digests, err = c.Keep(ctx, digest)
	case store.SweepFiles:
		digests, err = Listed(ctx, c.Artifacts, digest)
	default:
		return []lateen.Digest{digest}, nil
	}
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, lateen.ErrArtifactDamaged) {
		err = nil
	}
	return digests, err
}

// drop drops the unreferenced artifacts of some that are older than before, and marks
// the candidates of younger ones as open. It blocks the acceptance of deployments,
// which could reference an artifact.
func (c *Control) drop(ctx context.Context, m *marks, some []covered, before time.Time, open []bool) (artifact.Swept, error) {
	c.sweeper.Lock()
	defer c.sweeper.Unlock()
	if err := c.mark(ctx, m); err != nil { // references added since the first call
		return artifact.Swept{}, err
	}
	uploads, err := c.Store.ListUploadDigests(ctx)
	if err != nil {
		return artifact.Swept{}, err
	}
	slices.Sort(uploads) // databases differ in their sort order
	var unwanted []lateen.Digest
	for _, d := range some {
		if _, uploaded := slices.BinarySearch(uploads, d.digest); !uploaded && !m.wanted[d.digest] {
			unwanted = append(unwanted, d.digest)
		}
	}
	swept, young, err := c.Artifacts.Sweep(ctx, unwanted, before)
	for _, d := range some {
		open[d.of] = open[d.of] || slices.Contains(young, d.digest)
	}
	return swept, err
}

// marks are the artifacts that deployments reference.
type marks struct {
	roots  map[store.Root]bool // roots already read
	wanted map[lateen.Digest]bool
}

func (c *Control) mark(ctx context.Context, m *marks) error {
	roots, err := c.Store.ListRoots(ctx)
	if err != nil {
		return err
	}
	for _, root := range roots {
		if m.roots[root] {
			continue
		}
		if err := c.markRoot(ctx, m, root); err != nil {
			return err
		}
		m.roots[root] = true
	}
	return nil
}

func (c *Control) markRoot(ctx context.Context, m *marks, root store.Root) error {
	var digests, files []lateen.Digest
	var err error
	if root.Files != "" {
		if files, err = Listed(ctx, c.Artifacts, root.Files); err != nil {
			return err
		}
	}
	if root.Manifest != "" {
		if digests, err = c.Keep(ctx, root.Manifest); err != nil {
			return fmt.Errorf("read the artifacts of a manifest: %w", err)
		}
	}
	for _, d := range append(digests, files...) {
		m.wanted[d] = true
	}
	return nil
}

// Listed returns the digest of the listing of a deployment ([store.Root.Files]) and
// the digests of its files.
func Listed(ctx context.Context, s artifact.Store, digest lateen.Digest) ([]lateen.Digest, error) {
	l, err := artifact.ReadJSON[listing](ctx, s, digest)
	if err != nil {
		return nil, fmt.Errorf("read the files of a deployment: %w", err)
	}
	digests := []lateen.Digest{digest}
	for _, f := range l.Files {
		if f.Blob.Digest != "" {
			digests = append(digests, f.Blob.Digest)
		}
	}
	return digests, nil
}
