package daemon_test

import (
	"errors"
	"io/fs"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/client"
	"github.com/lateen-dev/lateen/internal/config"
	"github.com/lateen-dev/lateen/internal/daemon"
	"github.com/lateen-dev/lateen/internal/store"
	"github.com/lateen-dev/lateen/internal/store/sqlite"
)

// publish deploys a page to production and returns its own host.
func publish(t *testing.T, d *daemon.Daemon, text string) string {
	t.Helper()
	token, _ := d.Token()
	dir := t.TempDir()
	for name, content := range map[string]string{"config.json": `{"version":3}`, "static/index.html": text} {
		writeFile(t, filepath.Join(dir, ".vercel/output", name), content)
	}
	c := &client.Client{BaseURL: "http://" + d.Addr(), Token: token}
	made, err := c.Deploy(t.Context(), client.DeployOptions{Dir: dir, Project: "shop", Target: lateen.Production})
	if err != nil {
		t.Fatal(err)
	}
	return made.Host
}

func addEnv(t *testing.T, d *daemon.Daemon) {
	t.Helper()
	token, _ := d.Token()
	c := &client.Client{BaseURL: "http://" + d.Addr(), Token: token}
	if _, err := c.AddEnv(t.Context(), "shop", lateen.EnvVar{Key: "K", Value: "v", Type: lateen.EnvEncrypted, Target: []lateen.Environment{lateen.Production}}, false); err != nil {
		t.Fatal(err)
	}
}

func writeFile(t *testing.T, name, content string) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o700), os.WriteFile(name, []byte(content), 0o600)); err != nil {
		t.Fatal(err)
	}
}

func copyTree(t *testing.T, from, to string) {
	t.Helper()
	if err := errors.Join(os.RemoveAll(to), os.CopyFS(to, os.DirFS(from))); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(to, "key"), 0o600); err != nil && !errors.Is(err, fs.ErrNotExist) { // copies are readable for other users
		t.Fatal(err)
	}
}

// pageOf requests the page of a host and returns its status and body.
func pageOf(t *testing.T, d *daemon.Daemon, host string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+d.Addr()+"/", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Host = host
	resp, err := new(http.Client).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var text strings.Builder
	_ = resp.Write(&text)
	_, body, _ := strings.Cut(text.String(), "\r\n\r\n")
	return http.StatusText(resp.StatusCode) + " " + strings.TrimSpace(body)
}

// artifacts returns the sizes of the artifacts in dir, by digest.
func artifacts(t *testing.T, dir string) map[string]int64 {
	t.Helper()
	all := map[string]int64{}
	err := filepath.WalkDir(filepath.Join(dir, "artifacts"), func(path string, e fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err == nil && lateen.Digest(e.Name()).Valid() {
			info, err := e.Info()
			if err != nil {
				return err
			}
			all[e.Name()] = info.Size()
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// age makes every artifact old enough for a sweep.
func age(t *testing.T, dir string) {
	t.Helper()
	old := time.Now().Add(-100 * 24 * time.Hour)
	for name := range artifacts(t, dir) {
		if err := os.Chtimes(filepath.Join(dir, "artifacts", name[:2], name), old, old); err != nil {
			t.Fatal(err)
		}
	}
}

// canary adds an unreferenced artifact to dir, which a sweep must remove, and
// returns its file.
func canary(t *testing.T, dir string) string {
	t.Helper()
	digest := string(lateen.DigestOf([]byte("canary")))
	db, err := sqlite.Open(t.Context(), filepath.Join(dir, "lateen.db"))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(db.NoteCandidates(t.Context(), store.SweepContent, []string{digest}, 1), db.Close()); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(dir, "artifacts", digest[:2], digest)
	writeFile(t, name, "canary")
	return name
}

// kept are copies of data directories, from which the tests take parts.
type kept struct {
	current, older, static, other string // other is another platform's
	first, second                 string // hosts in current; older has only the first
}

func keepDirs(t *testing.T) kept {
	t.Helper()
	k := kept{current: t.TempDir(), older: t.TempDir(), static: t.TempDir(), other: t.TempDir()}
	c := settings(t)
	d, stop := start(t, c)
	k.first = publish(t, d, "first")
	stop()
	copyTree(t, c.Data, k.static)
	d, stop = start(t, c)
	addEnv(t, d)
	stop()
	copyTree(t, c.Data, k.older)
	d, stop = start(t, c)
	k.second = publish(t, d, "second")
	stop()
	copyTree(t, c.Data, k.current)
	c = settings(t)
	d, stop = start(t, c)
	publish(t, d, "of another platform")
	stop()
	copyTree(t, c.Data, k.other)
	return k
}

// Every part of a data directory may be missing, empty, older, or another
// platform's. The platform starts and serves the intact deployments, or it refuses
// with an error that names the part and a command. It never removes acknowledged
// data.
func TestCombiningPartsOfDifferentPlatformsLosesNoData(t *testing.T) {
	if testing.Short() {
		t.Skip("starts the platform again and again")
	}
	k := keepDirs(t)
	remove := func(names ...string) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			t.Helper()
			for _, name := range names {
				if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	empty := func(name string) func(*testing.T, string) {
		return func(t *testing.T, dir string) { t.Helper(); writeFile(t, filepath.Join(dir, name), "") }
	}
	emptyDir := func(name string) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			t.Helper()
			remove(name)(t, dir)
			if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
				t.Fatal(err)
			}
		}
	}
	from := func(source, name string) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			t.Helper()
			remove(name)(t, dir)
			if info, err := os.Stat(filepath.Join(source, name)); err == nil && info.IsDir() {
				copyTree(t, filepath.Join(source, name), filepath.Join(dir, name))
				return
			}
			text, err := os.ReadFile(filepath.Join(source, name))
			if err != nil {
				t.Fatal(err)
			}
			writeFile(t, filepath.Join(dir, name), string(text))
		}
	}
	noise := func(name string) func(*testing.T, string) {
		return func(t *testing.T, dir string) { t.Helper(); writeFile(t, filepath.Join(dir, name), "no such thing\n") }
	}
	unbound := func(t *testing.T, dir string) { // state of a version without identities
		t.Helper()
		remove("artifacts/identity")(t, dir)
		db, err := sqlite.OpenFile(t.Context(), filepath.Join(dir, "lateen.db"))
		if err != nil {
			t.Fatal(err)
		}
		_, err = db.Write.ExecContext(t.Context(), `DELETE FROM settings WHERE key IN ('platform', 'key_check')`)
		if err := errors.Join(err, db.Close()); err != nil {
			t.Fatal(err)
		}
	}
	both := []string{"first", "second"}
	for name, cell := range map[string]struct {
		base    string // data directory; "" is current
		change  func(*testing.T, string)
		serves  []string // pages that are served; none if the start is refused
		reason  string
		lacking bool     // whether artifacts of a deployment are missing
		says    []string // substrings of the message and its hint; DIR is the data directory
	}{
		"nothing is changed":               {change: remove(), serves: both},
		"a version without identities":     {change: unbound, serves: both},
		"database missing":                 {change: remove("lateen.db"), reason: "database_lost", says: []string{"DIR/lateen.db", "backup.md", "mv DIR/artifacts", "--database"}},
		"database empty":                   {change: empty("lateen.db"), reason: "database_lost", says: []string{"DIR/lateen.db"}},
		"database damaged":                 {change: noise("lateen.db"), reason: "database_damaged", says: []string{"cp BACKUP/lateen.db DIR/lateen.db`", "rm -f DIR/lateen.db-wal DIR/lateen.db-shm", "backup.md"}},
		"database older":                   {change: from(k.older, "lateen.db"), serves: both[:1]},
		"database of another platform":     {change: from(k.other, "lateen.db"), reason: "artifacts_of_another_platform", says: []string{"DIR/lateen.db", "DIR/artifacts"}},
		"database and identity missing":    {change: remove("lateen.db", "artifacts/identity"), reason: "database_lost", says: []string{"DIR/lateen.db"}},
		"artifacts missing":                {change: remove("artifacts"), reason: "artifacts_lost", says: []string{"DIR/artifacts", "cp -a"}},
		"artifacts empty":                  {change: emptyDir("artifacts"), reason: "artifacts_lost", says: []string{"DIR/artifacts"}},
		"artifacts older":                  {change: from(k.older, "artifacts"), serves: both[:1], lacking: true},
		"artifacts of another platform":    {change: from(k.other, "artifacts"), reason: "artifacts_of_another_platform", says: []string{"DIR/artifacts"}},
		"artifacts without their identity": {change: remove("artifacts/identity"), serves: both},
		"key missing":                      {change: remove("key"), reason: "key_lost", says: []string{"DIR/key", "install -m 600", "backup.md"}},
		"key empty":                        {change: empty("key"), reason: "key_file_unusable", says: []string{"DIR/key", "backup"}},
		"key of another platform":          {change: from(k.other, "key"), reason: "key_lost", says: []string{"DIR/key"}},
		"key of another, no identities":    {change: func(t *testing.T, dir string) { unbound(t, dir); from(k.other, "key")(t, dir) }, reason: "key_lost", says: []string{"DIR/key"}},
		"key missing, nothing needs it":    {base: k.static, change: remove("key"), serves: both[:1]},
		"key of another, nothing needs it": {base: k.static, change: from(k.other, "key"), serves: both[:1]},
		"token missing":                    {change: remove("token"), serves: both},
		"token empty":                      {change: empty("token"), serves: both},
		"token of another platform":        {change: from(k.other, "token"), serves: both},
		"trees missing":                    {change: remove("trees"), serves: both},
		"cache missing":                    {change: remove("cache"), serves: both},
		"cache of another platform":        {change: from(k.other, "cache"), serves: both},
		"clock of the cache is noise":      {change: noise("cache/clock"), serves: both},
		"logs missing":                     {change: remove("logs"), serves: both},
		"logs are noise":                   {change: noise("logs/logs.db"), serves: both},
		"logs of another platform":         {change: from(k.other, "logs"), serves: both},
		"lock missing":                     {change: remove("lock", "lateen.db.lock"), serves: both},
		"demand is noise":                  {change: noise("demand.json"), serves: both},
		"recreatable files missing":        {change: remove("builds", "run", "runtimes", "histories", "archives", "modules", "demand.json"), serves: both},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := settings(t)
			base := k.current
			if cell.base != "" {
				base = cell.base
			}
			copyTree(t, base, c.Data)
			cell.change(t, c.Data)
			if cell.reason != "" {
				refused(t, c, cell.reason, cell.says)
				return
			}
			gone := canary(t, c.Data)
			age(t, c.Data)
			before := artifacts(t, c.Data)
			delete(before, filepath.Base(gone))
			d, stop := start(t, c)
			for _, text := range cell.serves {
				host := map[string]string{"first": k.first, "second": k.second}[text]
				if got := pageOf(t, d, host); got != "OK "+text {
					t.Errorf("%s answers %q, want %s", host, got, text)
				}
			}
			for _, err := os.Stat(gone); err == nil && !cell.lacking; _, err = os.Stat(gone) { // until the sweep; there is none if a needed artifact is missing
				<-time.After(10 * time.Millisecond)
			}
			token, _ := d.Token()
			if status, _ := get(t, "http://"+d.Addr()+"/v2/user", token); status != http.StatusOK {
				t.Errorf("its token answers %d", status)
			}
			stop()
			if cell.lacking {
				before[filepath.Base(gone)] = int64(len("canary"))
			}
			if after := artifacts(t, c.Data); !maps.Equal(before, after) {
				t.Errorf("of %d artifacts %d are left", len(before), len(after))
			}
			again, _ := start(t, c)
			if got := pageOf(t, again, k.first); got != "OK first" {
				t.Errorf("after another start the first page is %q", got)
			}
		})
	}
}

// A version without identities may have left artifacts that no sweep has removed
// yet.
func TestAnEarlierVersionWithoutDeploymentsIsNoLostDatabase(t *testing.T) {
	c := settings(t)
	d, stop := start(t, c)
	publish(t, d, "first")
	stop()
	db, err := sqlite.OpenFile(t.Context(), filepath.Join(c.Data, "lateen.db"), "_foreign_keys=1")
	if err != nil {
		t.Fatal(err)
	}
	for _, query := range []string{`DELETE FROM deployments`, `DELETE FROM settings WHERE key IN ('platform', 'key_check')`} {
		_, failed := db.Write.ExecContext(t.Context(), query)
		err = errors.Join(err, failed)
	}
	if err := errors.Join(err, db.Close(), os.Remove(filepath.Join(c.Data, "artifacts", "identity"))); err != nil {
		t.Fatal(err)
	}
	if len(artifacts(t, c.Data)) == 0 {
		t.Fatal("there are no artifacts")
	}
	again, _ := start(t, c)
	if host := publish(t, again, "second"); pageOf(t, again, host) != "OK second" {
		t.Error("it does not serve")
	}
}

// refused fails unless two starts are refused for a reason and change nothing.
func refused(t *testing.T, c *config.Config, reason string, says []string) {
	t.Helper()
	before := artifacts(t, c.Data)
	for range 2 {
		_, err := daemon.New(t.Context(), daemon.Options{Config: c})
		e, ok := errors.AsType[*lateen.Error](err)
		if !ok || e.Reason != reason {
			t.Fatalf("the start ends with %v, want %s", err, reason)
		}
		for _, part := range slices.Concat(says) {
			if part = strings.ReplaceAll(part, "DIR", c.Data); !strings.Contains(e.Message+"\n"+e.Hint, part) {
				t.Errorf("%q with the hint %q does not contain %q", e.Message, e.Hint, part)
			}
		}
		if e.Hint == "" || !strings.Contains(e.Hint, "`") && !strings.Contains(e.Hint, "backup") {
			t.Errorf("%q has the hint %q, which is no command", e.Message, e.Hint)
		}
	}
	if after := artifacts(t, c.Data); !maps.Equal(before, after) {
		t.Errorf("of %d artifacts %d are left", len(before), len(after))
	}
}
