package daemon

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/artifact"
	"github.com/lateen-dev/lateen/internal/assemble"
	"github.com/lateen-dev/lateen/internal/config"
	"github.com/lateen-dev/lateen/internal/control"
	"github.com/lateen-dev/lateen/internal/store"
	"github.com/lateen-dev/lateen/internal/store/postgres"
	"github.com/lateen-dev/lateen/internal/store/sqlite"
)

var errNoPlatformHere = &lateen.Error{Code: lateen.NotFound, Reason: "no_platform_here", Message: "no platform found in the directory", Hint: "name the data directory of the platform with --data, as `lateen up` does"}

// platformPaths returns the paths in the data directory of a platform that runs or
// has run.
func platformPaths(c *config.Config) (paths, error) {
	root, err := filepath.Abs(c.Data)
	if err != nil {
		return paths{}, fmt.Errorf("find the data directory: %w", err)
	}
	at := pathsIn(root)
	needed := at.database
	if c.Database != "" {
		needed = at.artifacts
	}
	_, err = os.Stat(needed)
	switch {
	case errors.Is(err, fs.ErrNotExist) && c.Database == "" && hasContent(at.artifacts):
		return at, errNoPlatformHere.With("%s has the artifacts of a platform, and no %s", root, filepath.Base(at.database)).
			WithHint("name its database with `--database postgres://…` or LATEEN_DATABASE, as for `lateen up`")
	case errors.Is(err, fs.ErrNotExist):
		return at, errNoPlatformHere.With("no platform found in %s", root)
	case errors.Is(err, fs.ErrPermission):
		return at, errNotYours.Because(err)
	}
	return at, err
}

// viewStore opens the store of a data directory for reading.
func viewStore(ctx context.Context, c *config.Config, at paths) (*store.Store, error) {
	if c.Database != "" {
		db, err := postgres.View(ctx, c.Database)
		if err != nil {
			err = errDatabase.With("%s", err.Error()).Because(err)
		}
		return db, err
	}
	return sqlite.View(ctx, at.database)
}

// Scrub reads every artifact of a data directory and finds the damaged and missing
// ones, and the deployments that need them. It changes nothing, and a platform may
// run in the directory. progress is called with the number of artifacts read and of
// all artifacts.
func Scrub(ctx context.Context, c *config.Config, progress func(done, total int64)) (lateen.Scrub, error) {
	at, err := platformPaths(c)
	if err != nil {
		return lateen.Scrub{}, err
	}
	db, err := viewStore(ctx, c, at)
	if err != nil {
		return lateen.Scrub{}, err
	}
	defer db.Close() //nolint:errcheck // it was only read
	s := scrub{
		dir: at.artifacts, artifacts: artifact.ViewDisk(at.artifacts), whole: map[lateen.Digest]bool{},
		damaged: map[lateen.Digest]string{}, victims: map[lateen.Digest][]lateen.DamageVictim{},
	}
	if err := s.read(ctx, progress); err != nil {
		return lateen.Scrub{}, err
	}
	if err := s.trace(ctx, db); err != nil {
		return lateen.Scrub{}, err
	}
	return s.result(), nil
}

// scrub collects the result of [Scrub].
type scrub struct {
	dir       string
	artifacts *artifact.Disk
	found     lateen.Scrub
	whole     map[lateen.Digest]bool   // needed artifacts that exist and are undamaged
	damaged   map[lateen.Digest]string // description of the damage, by artifact
	victims   map[lateen.Digest][]lateen.DamageVictim
}

// read verifies every existing artifact.
func (s *scrub) read(ctx context.Context, progress func(done, total int64)) error {
	var total int64
	if err := s.artifacts.Each(ctx, func(lateen.Digest) error { total++; return nil }); err != nil {
		return err
	}
	return s.artifacts.Each(ctx, func(d lateen.Digest) error {
		size, err := s.artifacts.Size(ctx, d)
		if err == nil {
			err = artifact.Verify(ctx, s.artifacts, d)
		}
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.Is(err, fs.ErrNotExist): // a sweep of the running platform has removed it
			return nil
		case err != nil:
			s.damaged[d] = err.Error()
		}
		s.found.Artifacts++
		s.found.Bytes += size
		progress(s.found.Artifacts, max(total, s.found.Artifacts))
		return nil
	})
}

// trace finds the deployments that need damaged artifacts, and the missing artifacts
// that deployments need.
func (s *scrub) trace(ctx context.Context, db *store.Store) error {
	holders, err := db.ListHolders(ctx)
	if err != nil {
		return err
	}
	hosts, err := db.ListHosts(ctx)
	if err != nil {
		return err
	}
	names := map[lateen.DeploymentID][]string{}
	for _, h := range holders {
		names[h.ID] = []string{}
	}
	for _, h := range hosts {
		names[h.Deployment] = append(names[h.Deployment], h.Name)
	}
	for _, of := range names {
		slices.Sort(of)
	}
	unusable := map[store.Root][]lateen.Digest{}
	for _, h := range holders {
		digests, known := unusable[h.Root]
		if !known {
			if digests, err = s.unusable(ctx, h.Root); err != nil {
				return err
			}
			unusable[h.Root] = digests
		}
		for _, d := range digests {
			s.victims[d] = append(s.victims[d], lateen.DamageVictim{ID: h.ID, Project: h.Name, Hosts: names[h.ID]})
		}
	}
	return nil
}

// unusable returns the artifacts of a root that are damaged or missing, each once.
func (s *scrub) unusable(ctx context.Context, root store.Root) ([]lateen.Digest, error) {
	var unusable []lateen.Digest
	for _, d := range s.needs(ctx, root) {
		if s.whole[d] || slices.Contains(unusable, d) {
			continue
		}
		if s.damaged[d] == "" {
			_, err := s.artifacts.Size(ctx, d)
			if err == nil {
				s.whole[d] = true
				continue
			}
			if !errors.Is(err, fs.ErrNotExist) {
				return nil, err
			}
			s.damaged[d] = fmt.Sprintf("artifact %s is missing", d)
		}
		unusable = append(unusable, d)
	}
	return unusable, ctx.Err()
}

// needs returns the artifacts of a root, as far as its undamaged artifacts name
// them.
func (s *scrub) needs(ctx context.Context, root store.Root) []lateen.Digest {
	var digests []lateen.Digest
	if root.Files != "" {
		files, _ := control.Listed(ctx, s.artifacts, root.Files) // if the list is damaged, its own digest is reported
		digests = append(append(digests, root.Files), files...)
	}
	if root.Manifest != "" {
		kept, _ := assemble.Keep(ctx, s.artifacts, root.Manifest) // as above
		digests = append(append(digests, root.Manifest), kept...)
		if m, err := artifact.ReadJSON[lateen.Manifest](ctx, s.artifacts, root.Manifest); err == nil {
			for _, fn := range m.Functions {
				digests = append(digests, fn.Tree)
			}
		}
	}
	return slices.DeleteFunc(digests, func(d lateen.Digest) bool { return d == "" })
}

func (s *scrub) result() lateen.Scrub {
	s.found.Damaged = []lateen.Damage{}
	for _, d := range slices.Sorted(maps.Keys(s.damaged)) {
		s.found.Damaged = append(s.found.Damaged, lateen.Damage{
			Digest: d, Detail: s.damaged[d], File: filepath.Join(s.dir, string(d[:2]), string(d)),
			Deployments: append([]lateen.DamageVictim{}, s.victims[d]...),
		})
	}
	return s.found
}
