package daemon_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/store"
	"github.com/lateen-dev/lateen/internal/store/sqlite"
)

// A process that is killed after the transaction of a deletion has not removed the
// files of the deployment.
func TestAStartRemovesTheFilesOfDeploymentsThatWereDeletedBefore(t *testing.T) {
	c := settings(t)
	d, stop := start(t, c)
	host := publish(t, d, "page")
	stop()
	db, err := sqlite.Open(t.Context(), filepath.Join(c.Data, "lateen.db"))
	if err != nil {
		t.Fatal(err)
	}
	gone, err := db.GetDeploymentByHost(t.Context(), host)
	if err != nil {
		t.Fatal(err)
	}
	page := filepath.Join(c.Data, "cache", "entries", string(gone.ID), "page")
	writeFile(t, page, "cached")
	err = db.Update(t.Context(), func(q *store.Queries) error {
		return errors.Join(q.DeleteDeployment(t.Context(), gone.ID), q.AppendEvents(t.Context(), []lateen.Event{
			{Type: lateen.DeploymentRemoved, Team: gone.Team, Project: gone.Project, Subject: string(gone.ID), Deployment: gone.ID},
		}))
	})
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	start(t, c)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for range tick.C {
		_, err := os.Stat(filepath.Dir(page))
		if errors.Is(err, fs.ErrNotExist) {
			return
		}
		if t.Context().Err() != nil {
			t.Fatalf("the cached pages are still there: %v", err)
		}
	}
}
