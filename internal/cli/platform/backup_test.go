package platform_test

import (
	"bytes"
	"context"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/cli"
	"github.com/lateen-dev/lateen/internal/cli/platform"
	"github.com/lateen-dev/lateen/internal/config"
)

func TestBackupTellsWhatIsCopied(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		args []string
		made lateen.Backup
		code int
		says string
	}{
		{[]string{"copy"}, lateen.Backup{Artifacts: 2, Bytes: 1200}, 0, "Copied 2 artifacts, 1.2 kB, to HOME/copy"},
		{[]string{"copy", "--database", "postgres://db/lateen"}, lateen.Backup{}, 0, "`pg_dump --format=custom"},
		{[]string{"copy"}, lateen.Backup{Damaged: []lateen.Digest{"d"}}, 1, "`lateen doctor --scrub"},
		{nil, lateen.Backup{}, 2, "argument missing: the directory of the copy"},
	} {
		var stdout, stderr bytes.Buffer
		home := t.TempDir()
		code := cli.Run(t.Context(), cli.State{
			Args: append([]string{"backup", "--data", "data"}, c.args...), Dir: home, Env: []string{"HOME=" + home}, Stdout: &stdout, Stderr: &stderr,
			Daemon: platform.Daemon{Backup: func(_ context.Context, settings *config.Config, dir string, progress func(done, total int64)) (lateen.Backup, error) {
				if dir != filepath.Join(home, "copy") || settings.Data != filepath.Join(home, "data") {
					t.Errorf("%s is copied to %s", settings.Data, dir)
				}
				progress(1, 2)
				return c.made, nil
			}},
		})
		if says := strings.ReplaceAll(c.says, "HOME", home); code != c.code || !strings.Contains(stderr.String(), says) {
			t.Errorf("lateen backup %v: exit code %d and %s; want %d and %q", c.args, code, stderr.String(), c.code, says)
		}
	}
}
