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
	sweepAtOnce  = 100_000 // candidates that one sweep looks at
	dropsPerLock = 256     // artefacts that are dropped while no deployment is accepted
	donePerWrite = 1000    // candidates that are forgotten in one transaction
)

// sweepEvery sweeps at once and then after each period until ctx ends.
func (c *Control) sweepEvery(ctx context.Context, period time.Duration) {
	for ctx.Err() == nil {
		if c.AuditAge > 0 {
			if _, err := c.Store.ExpireAudit(ctx, lateen.MillisOf(c.Now().Add(-c.AuditAge))); err != nil && ctx.Err() == nil {
				c.Log.WarnContext(ctx, "old rows of the audit log were not removed", "err", err)
			}
		}
		if err := c.Store.Optimize(ctx); err != nil && ctx.Err() == nil {
			c.Log.WarnContext(ctx, "the statistics of the database were not refreshed", "err", err)
		}
		swept, err := c.Sweep(ctx)
		switch {
		case err != nil && ctx.Err() == nil:
			c.Log.WarnContext(ctx, "sweeping artefacts failed: no storage is freed until it succeeds", "err", err,
				"hint", "`lateen doctor --scrub` names the deployments whose content is missing or damaged: deploy or delete them")
		case swept.Files > 0:
			c.Log.InfoContext(ctx, "artefacts swept", "files", swept.Files, "bytes", swept.Bytes)
		}
		select {
		case <-time.After(period):
		case <-ctx.Done():
		}
	}
	if err := c.noteFresh(context.WithoutCancel(ctx)); err != nil {
		c.Log.WarnContext(ctx, "new artefacts are not noted: those of no use stay", "err", err)
	}
}

// Sweep drops uploads older than the grace, and then the artefacts that neither
// a deployment nor an upload names, of those that this store has known: what
// became of no use, or was put and never named, before the grace. It also drops
// what is held of deployments that were deleted.
func (c *Control) Sweep(ctx context.Context) (artifact.Swept, error) {
	before := c.Now().Add(-c.Grace)
	if _, err := c.Store.DeleteUploads(ctx, lateen.MillisOf(before)); err != nil {
		return artifact.Swept{}, err
	}
	if err := errors.Join(c.noteFresh(ctx), c.forgetDeleted(ctx)); err != nil {
		return artifact.Swept{}, err
	}
	candidates, err := c.Store.ListCandidates(ctx, "", lateen.MillisOf(before), sweepAtOnce)
	if err != nil || len(candidates) == 0 {
		return artifact.Swept{}, err
	}
	m := marks{roots: make(map[store.Root]bool), wanted: make(map[lateen.Digest]bool)}
	if err := c.mark(ctx, &m); err != nil { // most of them, while deployments are still accepted
		return artifact.Swept{}, err
	}
	all, err := c.expandAll(ctx, candidates)
	if err != nil {
		return artifact.Swept{}, err
	}
	var swept artifact.Swept
	open := make([]bool, len(candidates)) // those with content that stays for now
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
	if c.Trees != nil { // they can be laid out again from artefacts
		if _, err := c.Trees.Sweep(ctx, func(d lateen.Digest) bool { return m.wanted[d] }, before); err != nil {
			return swept, fmt.Errorf("sweep trees: %w", err)
		}
	}
	return swept, c.finish(ctx, candidates, open)
}

// finish forgets the candidates that were looked at and are not open.
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

// noteFresh makes what was put since it was last called a candidate.
func (c *Control) noteFresh(ctx context.Context) error {
	return c.Artifacts.Fresh(func(digests []lateen.Digest) error {
		names := make([]string, len(digests))
		for i, d := range digests {
			names[i] = string(d)
		}
		return c.Store.NoteCandidates(ctx, store.SweepContent, names, c.now())
	})
}

// noteManifest makes a manifest that a deployment had a candidate, if another
// takes its place.
func (c *Control) noteManifest(ctx context.Context, q *store.Queries, before, after lateen.Digest) error {
	if before == "" || before == after {
		return nil
	}
	return q.NoteCandidates(ctx, store.SweepManifest, []string{string(before)}, c.now())
}

// forgetDeleted tells the traffic of deployments that were deleted: a process
// that was killed right after that has not.
func (c *Control) forgetDeleted(ctx context.Context) error {
	deleted, err := c.Store.ListCandidates(ctx, store.SweepDeployment, c.now()+1, sweepAtOnce)
	if err != nil || len(deleted) == 0 {
		return err
	}
	for _, d := range deleted {
		c.Traffic.Forget(lateen.DeploymentID(d.Name))
	}
	return c.Store.DeleteCandidates(ctx, deleted)
}

// doomed is a digest that a candidate stands for.
type doomed struct {
	digest lateen.Digest
	of     int // index of the candidate
}

// expandAll returns what candidates stand for, in the order in which it is to go:
// what names others goes after them, so that a sweep that is cut off finds them
// again.
func (c *Control) expandAll(ctx context.Context, candidates []store.Candidate) ([]doomed, error) {
	var all []doomed
	for i, candidate := range candidates {
		digests, err := c.expand(ctx, candidate)
		if err != nil {
			return nil, err
		}
		for _, digest := range slices.Backward(digests) {
			all = append(all, doomed{digest, i})
		}
	}
	return all, nil
}

// expand returns the digests that a candidate stands for, what names others
// before them. Those that cannot be found out are not swept.
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

// drop drops what m does not want of some content, and opens the candidates of
// what has to stay for now. Meanwhile no deployment is accepted that could name it.
func (c *Control) drop(ctx context.Context, m *marks, some []doomed, before time.Time, open []bool) (artifact.Swept, error) {
	c.sweeper.Lock()
	defer c.sweeper.Unlock()
	if err := c.mark(ctx, m); err != nil { // what came since
		return artifact.Swept{}, err
	}
	uploads, err := c.Store.ListUploadDigests(ctx)
	if err != nil {
		return artifact.Swept{}, err
	}
	slices.Sort(uploads) // databases differ on what that is
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

// marks are what deployments name.
type marks struct {
	roots  map[store.Root]bool // looked into already
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
			return fmt.Errorf("read what a manifest needs: %w", err)
		}
	}
	for _, d := range append(digests, files...) {
		m.wanted[d] = true
	}
	return nil
}

// Listed returns the digest of the list of a deployment's source files
// ([store.Root.Files]) and those of the files.
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
