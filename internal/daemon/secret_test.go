package daemon_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/client"
	"github.com/lateen-dev/lateen/internal/daemon"
)

// lockedBuffer is a log for several goroutines.
type lockedBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

// The value of a variable and the secrets of a token and an invitation are in no
// file of the data directory and in no line of the platform's own log (SECURITY.md),
// whether their calls succeed or fail. The file token holds only the first token.
func TestNoFileAndNoLogHoldsASecret(t *testing.T) {
	const value = "the-value-of-a-variable"
	c := settings(t)
	c.LogLevel = "debug"
	log := new(lockedBuffer)
	d, stop := startWith(t, daemon.Options{Config: c, Out: log})
	token, _ := d.Token()
	dir := t.TempDir()
	for name, content := range map[string]string{
		"config.json":                      `{"version":3}`,
		"static/index.html":                "page",
		"functions/f.func/.vc-config.json": `{"runtime":"nodejs24.x","handler":"i.js","launcherType":"Nodejs"}`,
		"functions/f.func/i.js":            "module.exports = (_, res) => res.end()",
	} {
		writeFile(t, filepath.Join(dir, ".vercel/output", name), content)
	}
	api := &client.Client{BaseURL: "http://" + d.Addr(), Token: token}
	deploy := client.DeployOptions{Dir: dir, Project: "shop", Target: lateen.Production}
	_, err := api.Deploy(t.Context(), deploy)
	for _, kind := range []string{lateen.EnvEncrypted, lateen.EnvSensitive} {
		v := lateen.EnvVar{Key: "K_" + strings.ToUpper(kind), Value: value, Type: kind, Target: []lateen.Environment{lateen.Production}}
		_, added := api.AddEnv(t.Context(), "shop", v, false)
		err = errors.Join(err, added)
		if _, taken := api.AddEnv(t.Context(), "shop", v, false); taken == nil {
			t.Error("the variable was added twice")
		}
	}
	_, again := api.Deploy(t.Context(), deploy) // this deployment has the values
	pulled, read := api.PullEnv(t.Context(), "shop", lateen.Production, "")
	secret, _, made := api.CreateToken(t.Context(), client.TokenRequest{Name: "ci"})
	invitation, invited := api.Invite(t.Context(), c.Team, "bob@example.com", lateen.Viewer)
	if err := errors.Join(err, again, read, made, invited); err != nil {
		t.Fatal(err)
	}
	if pulled["K_ENCRYPTED"] != value {
		t.Fatalf("the environment is %v", pulled)
	}
	secrets := []string{value, secret, invitation.Secret}
	for _, wrong := range []string{secret + "x", value} {
		if _, err := (&client.Client{BaseURL: api.BaseURL, Token: wrong}).WhoAmI(t.Context()); err == nil {
			t.Error("a wrong token is accepted")
		}
	}
	check := func(where string, content []byte) {
		for i, text := range secrets {
			if text == "" || bytes.Contains(content, []byte(text)) {
				t.Errorf("%s holds the secret %d", where, i)
			}
		}
	}
	walk := func() {
		err := filepath.WalkDir(c.Data, func(path string, e fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) { // the running platform removes files
				return nil
			}
			if err != nil || !e.Type().IsRegular() {
				return err
			}
			content, err := os.ReadFile(path)
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			check(path, content)
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}
	walk() // includes the write-ahead log of the database
	stop()
	walk()
	check("the platform's own log", log.text.Bytes())
}
