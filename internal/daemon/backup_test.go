package daemon_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/config"
	"github.com/lateen-dev/lateen/internal/daemon"
	"github.com/lateen-dev/lateen/internal/store/postgrestest"
	"github.com/lateen-dev/lateen/internal/store/sqlite"
)

func backUp(t *testing.T, c *config.Config, dir string) {
	t.Helper()
	made, err := daemon.Backup(t.Context(), c, dir, func(_, _ int64) {})
	if err != nil {
		t.Fatal(err)
	}
	if len(made.Damaged) > 0 || int(made.Artifacts) != len(artifacts(t, dir)) {
		t.Errorf("%+v was copied; the copy has %d artifacts", made, len(artifacts(t, dir)))
	}
}

// readyHosts returns the hosts of the READY deployments in a copy.
func readyHosts(t *testing.T, dir string) []string {
	t.Helper()
	db, err := sqlite.View(t.Context(), filepath.Join(dir, "lateen.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	hosts, err := db.ListHosts(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, h := range hosts {
		names = append(names, h.Name)
	}
	return names
}

// The test makes the copy during deployments. It restores the parts into a new data
// directory in one order and in the reverse order, as docs/how-to/backup.md
// describes.
func TestABackupOfARunningPlatformHasEveryReadyDeployment(t *testing.T) {
	c := settings(t)
	d, stop := start(t, c)
	before := publish(t, d, "before")
	addEnv(t, d)
	var enough atomic.Bool
	deployed := make(chan int)
	begun := make(chan struct{})
	go func() {
		n := 0
		for ; !enough.Load(); n++ {
			publish(t, d, fmt.Sprint("page ", n))
			if n == 1 {
				close(begun)
			}
		}
		deployed <- n
	}()
	<-begun
	dir := filepath.Join(t.TempDir(), "copy")
	backUp(t, c, dir)
	enough.Store(true)
	t.Logf("%d deployments were made", <-deployed)
	stop()
	hosts := readyHosts(t, dir)
	if !slices.Contains(hosts, before) {
		t.Fatalf("the copy has the hosts %v, want %s", hosts, before)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var parts []string
	for _, e := range entries {
		parts = append(parts, e.Name())
	}
	if want := []string{"artifacts", "key", "lateen.db", "token"}; !slices.Equal(parts, want) {
		t.Errorf("the copy has %v, want %v", parts, want)
	}
	for range 2 {
		restored := settings(t)
		for _, part := range parts {
			if err := os.MkdirAll(restored.Data, 0o711); err != nil {
				t.Fatal(err)
			}
			if out, err := exec.CommandContext(t.Context(), "cp", "-a", filepath.Join(dir, part), restored.Data).CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
		}
		slices.Reverse(parts)
		again, end := start(t, restored)
		for _, host := range hosts {
			if got := pageOf(t, again, host); !strings.HasPrefix(got, "OK ") {
				t.Errorf("%s answers %q", host, got)
			}
		}
		if got := pageOf(t, again, before); got != "OK before" {
			t.Errorf("the page from before the copy is %q", got)
		}
		end()
		if found := scrub(t, restored); len(found.Damaged) > 0 {
			t.Errorf("in the copy are damaged: %v", found.Damaged)
		}
	}
}

func TestABackupRefusesDirectoriesThatItCannotUse(t *testing.T) {
	c := settings(t)
	taken := t.TempDir()
	writeFile(t, filepath.Join(taken, "file"), "kept")
	for _, cell := range []struct{ dir, reason string }{
		{t.TempDir(), "no_platform_here"}, // no platform has started in the data directory yet
		{taken, "backup_not_empty"},
		{filepath.Join(c.Data, "copy"), "backup_inside_data"},
	} {
		_, err := daemon.Backup(t.Context(), c, cell.dir, func(_, _ int64) {})
		if e, ok := errors.AsType[*lateen.Error](err); !ok || e.Reason != cell.reason || e.Hint == "" {
			t.Errorf("a copy to %s ends with %v, want %s", cell.dir, err, cell.reason)
		}
		if cell.reason == "no_platform_here" {
			_, stop := start(t, c)
			stop()
		}
	}
	if text, err := os.ReadFile(filepath.Join(taken, "file")); err != nil || string(text) != "kept" {
		t.Errorf("the file in the other directory has %q: %v", text, err)
	}
	if err := os.Remove(filepath.Join(c.Data, "key")); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	_, err := daemon.Backup(t.Context(), c, dir, func(_, _ int64) {})
	if entries, _ := os.ReadDir(dir); err == nil || len(entries) > 0 {
		t.Errorf("a copy without a key ends with %v and leaves %v", err, entries)
	}
}

func TestABackupWithPostgreSQLGoesWithAnEarlierDump(t *testing.T) {
	c := settings(t)
	c.Database = postgrestest.NewDatabase(t)
	if _, err := exec.LookPath("pg_dump"); err != nil {
		t.Skip("pg_dump is not installed")
	}
	d, stop := start(t, c)
	host := publish(t, d, "page")
	addEnv(t, d)
	dump := filepath.Join(t.TempDir(), "lateen.dump")
	run := func(name string, args ...string) {
		t.Helper()
		if out, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", name, err, out)
		}
	}
	run("pg_dump", "--format=custom", "--file="+dump, c.Database)
	publish(t, d, "later")
	dir := filepath.Join(t.TempDir(), "copy")
	backUp(t, c, dir)
	stop()
	restored := settings(t)
	restored.Data, restored.Database = dir, postgrestest.NewDatabase(t)
	run("pg_restore", "--clean", "--if-exists", "--dbname="+restored.Database, dump)
	again, _ := start(t, restored)
	if got := pageOf(t, again, host); got != "OK page" {
		t.Errorf("the page is %q", got)
	}
}
