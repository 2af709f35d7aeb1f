package daemon_test

import (
	"testing"

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

// Each platform would sweep artefacts that deployments of the other need.
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
