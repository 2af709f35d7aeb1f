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

// The settings in the store that identify the platform and its key.
const (
	platformSetting = "platform"  // id of the platform
	keySetting      = "key_check" // keyContext, encrypted with a key of the key file
	keyContext      = "key check"
	identityName    = "identity" // file in the artifact directory that holds the platform's id
)

// Errors of data directories whose parts belong to different platforms or are
// missing. Their hints name the directory.
var (
	errArtifactsForeign = &lateen.Error{Code: lateen.Conflict, Reason: "artifacts_of_another_platform", Message: "the database and the artifacts belong to different platforms"}
	errDatabaseLost     = &lateen.Error{Code: lateen.Conflict, Reason: "database_lost", Message: "the database of the platform is missing"}
	errArtifactsLost    = &lateen.Error{Code: lateen.Conflict, Reason: "artifacts_lost", Message: "the artifacts of the platform are missing"}
	errDatabaseDamaged  = &lateen.Error{Code: lateen.Conflict, Reason: "database_damaged", Message: "the database is damaged", Hint: "restore it from a backup, as docs/how-to/backup.md describes"}
	errKeyLost          = &lateen.Error{Code: lateen.Conflict, Reason: "key_lost", Message: "the key that encrypted values of the platform is missing"}
)

// identity checks that the parts of a data directory belong to one platform. It
// assigns an id to a new platform, and to a platform of a version without ids.
type identity struct {
	at       paths
	database string // name of the database in messages
	db       *store.Store
	seen     string // platform id in the artifact directory; "" if there is none
}

// readIdentity reads the platform id in the artifact directory. If there are
// artifacts and the database file is missing or empty, readIdentity refuses before a
// database is created: a backup that an operator restores must not meet the
// write-ahead log of another database.
func readIdentity(at paths, dsn string) (*identity, error) {
	id := &identity{at: at, database: at.database}
	text, err := os.ReadFile(filepath.Join(at.artifacts, identityName))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read the identity of the artifacts: %w", err)
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
	return errDatabaseLost.With("%s is new, and %s has the artifacts of a platform", id.database, id.at.artifacts).
		WithHint("restore the database from a backup, as docs/how-to/backup.md describes, or set --database if it is in PostgreSQL; for a new platform, `mv %s %s.old`", id.at.artifacts, id.at.artifacts)
}

// bind checks that the store and the artifacts belong to the same platform, and
// records the platform's id in both.
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
	used := err == nil // a platform has started with this database, even if it has no deployments any more
	if err != nil && !errors.Is(err, lateen.ErrTeamNotFound) {
		return err
	}
	switch {
	case known != "" && id.seen != "" && known != id.seen:
		return errArtifactsForeign.With("%s belongs to the platform %s and the artifacts in %s to %s", id.database, known, id.at.artifacts, id.seen).
			WithHint("restore both from backups of one platform, as docs/how-to/backup.md describes, or name the data directory of the other with --data")
	case known == "" && len(roots) == 0 && (id.seen != "" || !used && hasContent(id.at.artifacts)):
		return id.databaseLost()
	case len(roots) > 0 && found == 0:
		return errArtifactsLost.With("%s has %d deployments, and %s has no artifacts of them", id.database, len(roots), id.at.artifacts).
			WithHint("restore the artifacts from a backup: `cp -a BACKUP/artifacts/. %s`", id.at.artifacts)
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

// countManifests returns the number of roots, among the first hundred, whose
// manifest or file list exists.
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

// hasContent reports whether an artifact directory has an artifact.
func hasContent(dir string) bool {
	files, _ := filepath.Glob(filepath.Join(dir, "[0-9a-f][0-9a-f]", "*")) // the pattern is valid
	return len(files) > 0
}

// openKey opens the key file. If the file is missing or has another key, openKey
// creates a key if no encrypted value is needed any more, and refuses otherwise.
func (id *identity) openKey(ctx context.Context, needed func(context.Context) (bool, error)) (*secret.FileKeeper, error) {
	_, err := os.Stat(id.at.key)
	lost := errors.Is(err, fs.ErrNotExist)
	var keeper *secret.FileKeeper
	if !lost {
		if keeper, err = secret.OpenFile(id.at.key); err != nil {
			return nil, err
		}
		opens, checked, err := id.opens(ctx, keeper)
		if err != nil || opens && checked {
			return keeper, err
		}
		lost = !opens
	}
	if lost {
		isNeeded, err := needed(ctx)
		if err != nil {
			return nil, err
		}
		if isNeeded {
			return nil, errKeyLost.With("%s does not have the key that encrypted the variables of this platform", id.at.key).
				WithHint("restore the key file from a backup: `install -m 600 BACKUP/key %s`; see docs/how-to/backup.md", id.at.key)
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

// opens reports whether a keeper has the key that encrypted the store's check value
// or, without a check value, the newest encrypted environment. checked reports
// whether there is a check value.
func (id *identity) opens(ctx context.Context, keeper secret.Keeper) (opens, checked bool, err error) {
	text, checked, err := id.db.GetSetting(ctx, keySetting)
	if err != nil {
		return false, checked, err
	}
	if checked {
		var check []byte
		if _, err := fmt.Sscanf(text, "%x", &check); err != nil {
			return false, true, nil //nolint:nilerr // a malformed check value opens with no key
		}
		plain, err := keeper.Open(check, []byte(keyContext))
		return err == nil && bytes.Equal(plain, []byte(keyContext)), true, nil
	}
	d, sealed, err := id.db.FindSealed(ctx)
	if err != nil || !sealed {
		return err == nil, false, err
	}
	_, err = keeper.Open(d.Env, []byte(d.ID))
	return err == nil, false, nil
}

// keyNeeded reports whether there is a variable, or a deployment that reads its
// environment. An unreadable manifest counts as one of such a deployment.
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
			return true, nil //nolint:nilerr // a key that may be needed must not be replaced
		}
	}
	return false, nil
}
