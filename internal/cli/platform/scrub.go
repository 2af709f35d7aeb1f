package platform

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/config"
	"github.com/lateen-dev/lateen/internal/terminal"
)

func (s *session) runScrub(ctx context.Context, c *config.Config) error {
	if s.daemon.Scrub == nil {
		return errNoPlatform
	}
	var err error
	if c.Data, err = s.Path(c.Data); err != nil {
		return err
	}
	live := s.Term.Live("Reading the artifacts in " + filepath.Join(c.Data, "artifacts"))
	defer live.Stop()
	found, err := s.daemon.Scrub(ctx, c, func(done, total int64) { live.Set(done, total, fmt.Sprintf("%d/%d", done, total)) })
	if err != nil {
		return err
	}
	live.Finish("Read %s, %s", terminal.Count(int(found.Artifacts), "artifact"), terminal.Amount(found.Bytes))
	if s.Flags.JSON {
		err = s.Term.JSON(found)
	} else {
		s.damages(found.Damaged)
	}
	if n := len(found.Damaged); err == nil && n > 0 {
		first := found.Damaged[0]
		return lateen.ErrArtifactDamaged.With("%s damaged or missing", terminal.Count(n, "artifact")).
			WithHint("restore each from a backup with `install -m 444 BACKUP/artifacts/%s/%s %s`, or remove the damaged file and deploy again", first.Digest[:2], first.Digest, first.File)
	}
	return err
}

// damages prints damaged artifacts, each with the deployments that need it.
func (s *session) damages(damaged []lateen.Damage) {
	var b strings.Builder
	for _, d := range damaged {
		b.WriteString(terminal.Paint(terminal.Bad, "✗") + " " + terminal.Clean(d.Detail) + "\n  " + terminal.Clean(d.File) + "\n")
		for _, victim := range d.Deployments {
			b.WriteString("    " + string(victim.ID) + "  " + terminal.Clean(victim.Project) + "  " + terminal.Clean(strings.Join(victim.Hosts, " ")) + "\n")
		}
		if len(d.Deployments) == 0 {
			b.WriteString("    not used by any deployment\n")
		}
	}
	s.Term.Print(b.String())
}
