package assemble

import (
	"context"
	"errors"
	"fmt"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/artifact"
)

// Keep returns the digests of all artifacts that serving a manifest needs: of the
// manifest, its files and their compressed forms, fallbacks, trees and the files of
// trees. An artifact that names others comes before them. Digests may be repeated.
// With an error, Keep returns the digests found so far.
func Keep(ctx context.Context, s artifact.Store, digest lateen.Digest) ([]lateen.Digest, error) {
	m, err := artifact.ReadJSON[lateen.Manifest](ctx, s, digest)
	if err != nil {
		return nil, fmt.Errorf("manifest: %w", err)
	}
	digests := []lateen.Digest{digest}
	for _, f := range m.Files {
		digests = append(digests, f.Digest)
		for _, blob := range f.Encodings {
			digests = append(digests, blob.Digest)
		}
	}
	for _, p := range m.Prerenders {
		if p.Fallback != nil {
			digests = append(digests, p.Fallback.Digest)
		}
	}
	seen := make(map[lateen.Digest]bool)
	var errs []error
	for _, fn := range m.Functions {
		if seen[fn.Tree] {
			continue
		}
		seen[fn.Tree] = true
		tree, err := artifact.ReadJSON[lateen.Tree](ctx, s, fn.Tree)
		if err != nil {
			errs = append(errs, fmt.Errorf("function tree: %w", err))
			continue
		}
		digests = append(digests, fn.Tree)
		for _, e := range tree.Entries {
			if e.Digest != "" {
				digests = append(digests, e.Digest)
			}
		}
	}
	return digests, errors.Join(errs...)
}
