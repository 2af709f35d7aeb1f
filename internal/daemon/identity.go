package daemon

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/artifact"
	"github.com/lateen-dev/lateen/internal/atomicfile"
	"github.com/lateen-dev/lateen/internal/secret"
	"github.com/lateen-dev/lateen/internal/store"
)

// The settings of the store that bind the other parts to it.
const (
	platformSetting = "platform"  // id of the platform
	keySetting      = "key_check" // keyContext, sealed with a key of the key file
	keyContext      = "key check"
	identityName    = "identity" // the file in the artifact directory that has the id
)

// Errors of parts of a data directory that do not belong together. Their hints
// name the directory.
var (
	errArtifactsForeign = &lateen.Error{Code: lateen.Conflict, Reason: "artifacts_of_another_platform", Message: "the database and the artefacts belong to different platforms"}
	errDatabaseLost     = &lateen.Error{Code: lateen.Conflict, Reason: "database_lost", Message: "the artefacts belong to a platform whose database is not here"}
	errArtifactsLost    = &lateen.Error{Code: lateen.Conflict, Reason: "artifacts_lost", Message: "the artefacts of this platform are not here"}
	errDatabaseDamaged  = &lateen.Error{Code: lateen.Conflict, Reason: "database_damaged", Message: "the database is damaged", Hint: "restore it from a backup, as docs/how-to/backup.md says"}
	errKeyLost          = &lateen.Error{Code: lateen.Conflict, Reason: "key_lost", Message: "the key that sealed values of this platform is not here"}
)

// identity checks that the parts of a data directory belong to one platform, and
// gives those of a new platform, or of one from before there were ids, one.
type identity struct {
	at       paths
	database string // how messages call the database
	db       *store.Store
	seen     string // id in the artifact directory; "" if there is none
}

// readIdentity reads the id in the artifact directory. A database file that is
// missing or empty beside artefacts is refused before one is made: a copy that is
// put in its place must not meet the log of another.
func readIdentity(at paths, dsn string) (*identity, error) {
	id := &identity{at: at, database: at.database}
	text, err := os.ReadFile(filepath.Join(at.artifacts, identityName))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read the identity of the artefacts: %w", err)
	}
	id.seen = strings.TrimSpace(string(text))
	if dsn != "" {
		id.database = "the database of --database"
		return id, nil
	}
	info, err := os.Stat(at.database)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if (err != nil || info.Size() == 0) && (id.seen != "" || hasContent(at.artifacts)) {
		return nil, id.databaseLost()
	}
	return id, nil
}

func (id *identity) databaseLost() error {
	return errDatabaseLost.With("%s is new, and %s has the artefacts of a platform", id.database, id.at.artifacts).
		WithHint("restore the database from a backup, as docs/how-to/backup.md says, or set --database if it is in PostgreSQL; for a new platform, `mv %s %s.old`", id.at.artifacts, id.at.artifacts)
}

// bind checks the store and the artefacts against each other.
func (id *identity) bind(ctx context.Context, db *store.Store, artifacts *artifact.Disk) error {
	id.db = db
	known, _, err := db.GetSetting(ctx, platformSetting)
	if err != nil {
		return err
	}
	roots, err := db.ListRoots(ctx)
	if err != nil {
		return err
	}
	found, err := countManifests(ctx, artifacts, roots)
	if err != nil {
		return err
	}
	_, err = db.FirstTeam(ctx)
	used := err == nil // a platform has started on it, which may have no deployments any more
	if err != nil && !errors.Is(err, lateen.ErrTeamNotFound) {
		return err
	}
	switch {
	case known != "" && id.seen != "" && known != id.seen:
		return errArtifactsForeign.With("%s belongs to the platform %s and the artefacts in %s to %s", id.database, known, id.at.artifacts, id.seen).
			WithHint("restore both from backups of one platform, as docs/how-to/backup.md says, or name the data directory of the other with --data")
	case known == "" && len(roots) == 0 && (id.seen != "" || !used && hasContent(id.at.artifacts)):
		return id.databaseLost()
	case len(roots) > 0 && found == 0:
		return errArtifactsLost.With("%s names %d deployments, and %s has none of them", id.database, len(roots), id.at.artifacts).
			WithHint("restore the artefacts from a backup: `cp -a BACKUP/artifacts/. %s`", id.at.artifacts)
	}
	if known == "" {
		known = lateen.NewID[string]("plt_", time.Now())
		if id.seen != "" {
			known = id.seen
		}
		if err := db.PutSetting(ctx, platformSetting, known); err != nil {
			return err
		}
	}
	if id.seen == known {
		return nil
	}
	return atomicfile.Write(filepath.Join(id.at.artifacts, identityName), []byte(known+"\n"), 0o600)
}

// countManifests is of how many roots, the first hundred at most, the artefacts
// are there.
func countManifests(ctx context.Context, artifacts *artifact.Disk, roots []store.Root) (int, error) {
	found := 0
	for _, root := range roots[:min(len(roots), 100)] {
		digest := root.Files
		if root.Manifest != "" {
			digest = root.Manifest
		}
		_, err := artifacts.Size(ctx, digest)
		switch {
		case err == nil:
			found++
		case !errors.Is(err, fs.ErrNotExist):
			return found, err
		}
	}
	return found, nil
}

// hasContent reports whether an artifact directory has an artefact.
func hasContent(dir string) bool {
	files, _ := filepath.Glob(filepath.Join(dir, "[0-9a-f][0-9a-f]", "*")) // the pattern is valid
	return len(files) > 0
}

// openKey opens the key file, and makes one where nothing was sealed that is
// still needed. It refuses a file that cannot open what the store has.
func (id *identity) openKey(ctx context.Context, needed func(context.Context) (bool, error)) (*secret.FileKeeper, error) {
	_, err := os.Stat(id.at.key)
	lost := errors.Is(err, fs.ErrNotExist)
	var keeper *secret.FileKeeper
	if !lost {
		if keeper, err = secret.OpenFile(id.at.key); err != nil {
			return nil, err
		}
		opens, err := id.opens(ctx, keeper)
		if err != nil {
			return nil, err
		}
		lost = !opens
	}
	if lost {
		isNeeded, err := needed(ctx)
		if err != nil {
			return nil, err
		}
		if isNeeded {
			return nil, errKeyLost.With("%s does not have the key that sealed the variables of this platform", id.at.key).
				WithHint("restore the key file from a backup: `install -m 600 BACKUP/key %s`; docs/how-to/backup.md says how to make one", id.at.key)
		}
		if keeper, err = secret.OpenFile(id.at.key); err != nil {
			return nil, err
		}
	}
	check, err := keeper.Seal([]byte(keyContext), []byte(keyContext))
	if err != nil {
		return nil, err
	}
	return keeper, id.db.PutSetting(ctx, keySetting, fmt.Sprintf("%x", check))
}

// opens reports whether a keeper has the key of the store's check, or of any
// value in a store that has no check.
func (id *identity) opens(ctx context.Context, keeper secret.Keeper) (bool, error) {
	text, known, err := id.db.GetSetting(ctx, keySetting)
	if err != nil {
		return false, err
	}
	if known {
		var check []byte
		if _, err := fmt.Sscanf(text, "%x", &check); err != nil {
			return false, nil //nolint:nilerr // no key has sealed that
		}
		plain, err := keeper.Open(check, []byte(keyContext))
		return err == nil && bytes.Equal(plain, []byte(keyContext)), nil
	}
	d, sealed, err := id.db.FindSealed(ctx)
	if err != nil || !sealed {
		return err == nil, err
	}
	_, err = keeper.Open(d.Env, []byte(d.ID))
	return err == nil, nil
}

// keyNeeded reports whether there is a variable, or a deployment that reads its
// environment. A manifest that cannot be read may be of one.
func keyNeeded(ctx context.Context, db *store.Store, artifacts *artifact.Disk) (bool, error) {
	needed, err := db.HasEnv(ctx)
	if err != nil || needed {
		return needed, err
	}
	roots, err := db.ListRoots(ctx)
	if err != nil {
		return false, err
	}
	for _, root := range roots {
		if root.Manifest == "" {
			continue
		}
		m, err := artifact.ReadJSON[lateen.Manifest](ctx, artifacts, root.Manifest)
		if err != nil || m.UsesEnv() {
			return true, nil //nolint:nilerr // a key that may be needed is not replaced
		}
	}
	return false, nil
}
