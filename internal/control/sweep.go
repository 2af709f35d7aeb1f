package control

import (
	"context"
	"fmt"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/artifact"
	"github.com/lateen-dev/lateen/internal/store"
)

// sweepEvery sweeps at once and then after each period until ctx ends.
func (c *Control) sweepEvery(ctx context.Context, period time.Duration) {
	for ctx.Err() == nil {
		swept, err := c.Sweep(ctx)
		switch {
		case err != nil && ctx.Err() == nil:
			c.Log.WarnContext(ctx, "sweeping artefacts failed", "err", err)
		case swept.Files > 0:
			c.Log.InfoContext(ctx, "artefacts swept", "files", swept.Files, "bytes", swept.Bytes)
		}
		select {
		case <-time.After(period):
		case <-ctx.Done():
		}
	}
}

// Sweep drops uploads older than the grace, and then the artefacts and trees
// older than it that neither a deployment nor an upload names.
func (c *Control) Sweep(ctx context.Context) (artifact.Swept, error) {
	before := c.Now().Add(-c.Grace)
	if _, err := c.Store.DeleteUploads(ctx, lateen.MillisOf(before)); err != nil {
		return artifact.Swept{}, err
	}
	m := marks{roots: make(map[store.Root]bool), wanted: make(map[lateen.Digest]bool)}
	if err := c.mark(ctx, &m); err != nil { // most of them, while deployments are still accepted
		return artifact.Swept{}, err
	}
	c.sweeper.Lock()
	defer c.sweeper.Unlock()
	if err := c.mark(ctx, &m); err != nil { // and what came since
		return artifact.Swept{}, err
	}
	uploads, err := c.Store.ListUploadDigests(ctx)
	if err != nil {
		return artifact.Swept{}, err
	}
	for _, d := range uploads {
		m.wanted[d] = true
	}
	keep := func(d lateen.Digest) bool { return m.wanted[d] }
	if c.Trees != nil {
		if _, err := c.Trees.Sweep(ctx, keep, before); err != nil {
			return artifact.Swept{}, fmt.Errorf("sweep trees: %w", err)
		}
	}
	return c.Artifacts.Sweep(ctx, keep, before)
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
	if root.Files != "" {
		files, err := artifact.ReadJSON[listing](ctx, c.Artifacts, root.Files)
		if err != nil {
			return fmt.Errorf("read the files of a deployment: %w", err)
		}
		m.wanted[root.Files] = true
		for _, f := range files.Files {
			m.wanted[f.Blob.Digest] = true
		}
	}
	if root.Manifest == "" {
		return nil
	}
	digests, err := c.Keep(ctx, root.Manifest)
	if err != nil {
		return fmt.Errorf("read what a manifest needs: %w", err)
	}
	for _, d := range digests {
		m.wanted[d] = true
	}
	return nil
}
