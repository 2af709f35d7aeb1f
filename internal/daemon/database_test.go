package daemon_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"testing"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/config"
	"github.com/lateen-dev/lateen/internal/daemon"
	"github.com/lateen-dev/lateen/internal/store/postgrestest"
)

// The database of another platform, or an empty one, in --database is refused.
func TestADatabaseThatBelongsToAnotherPlatform(t *testing.T) {
	c := settings(t)
	c.Database = postgrestest.NewDatabase(t)
	d, stop := start(t, c)
	host := publish(t, d, "page")
	stop()
	other := settings(t)
	other.Database = postgrestest.NewDatabase(t)
	d, stop = start(t, other)
	publish(t, d, "of another platform")
	stop()
	own := c.Database
	c.Database = other.Database
	refused(t, c, "artifacts_of_another_platform", []string{"--database", "DIR/artifacts", "backup.md"})
	c.Database = postgrestest.NewDatabase(t)
	refused(t, c, "database_lost", []string{"--database", "DIR/artifacts"})
	c.Database = own
	again, _ := start(t, c)
	if got := pageOf(t, again, host); got != "OK page" {
		t.Errorf("with its own database the page is %q", got)
	}
}

// Each platform would sweep artifacts that deployments of the other need.
func TestADatabaseHasOnePlatformAtATime(t *testing.T) {
	c := settings(t)
	c.Database = postgrestest.NewDatabase(t)
	_, stop := start(t, c)
	other := settings(t)
	other.Database = c.Database
	refused(t, other, "data_in_use", []string{"--database"})
	stop()
	again := settings(t)
	again.Data, again.Database = c.Data, c.Database
	start(t, again)
}

func TestDoctorChecksTheDatabase(t *testing.T) {
	c := settings(t)
	c.Database = "postgres://lateen:hidden@127.0.0.1:1/lateen"
	found := examine(t, c)
	wanted{"database": {lateen.Unfit, "connection refused"}}.of(t, found)
	if strings.Contains(fmt.Sprint(found), "hidden") {
		t.Errorf("the findings show the password: %v", found)
	}
	c.Database = postgrestest.NewDatabase(t)
	wanted{"database": {lateen.Fit, "answers"}}.of(t, examine(t, c))
}

// A mistake in the settings of the first start leaves nothing to remove.
func TestAFirstStartThatFailsLeavesNoDirectory(t *testing.T) {
	t.Parallel()
	for reason, mistake := range map[string]func(*config.Config){
		"database_unavailable": func(c *config.Config) { c.Database = "postgres://lateen@127.0.0.1:1/lateen" },
		"certificate_unusable": func(c *config.Config) { c.TLSCert, c.TLSKey = "/nowhere/cert.pem", "/nowhere/key.pem" },
	} {
		t.Run(reason, func(t *testing.T) {
			t.Parallel()
			c := settings(t)
			mistake(c)
			_, err := daemon.New(t.Context(), daemon.Options{Config: c})
			if e, ok := errors.AsType[*lateen.Error](err); !ok || e.Reason != reason {
				t.Fatalf("the start ends with %v", err)
			}
			if _, err := os.Stat(c.Data); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("the data directory: %v", err)
			}
		})
	}
}
