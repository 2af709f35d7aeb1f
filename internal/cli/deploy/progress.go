package deploy

import (
	"context"
	"fmt"
	"strings"
	"sync"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/client"
	"github.com/lateen-dev/lateen/internal/cli/command"
	"github.com/lateen-dev/lateen/internal/terminal"
)

// deployView shows the progress of a deployment.
type deployView struct {
	*session

	mu       sync.Mutex // guards below
	live     *terminal.Live
	stage    client.Stage
	last     client.Progress // of the stage
	uploaded client.Progress // uploaded so far, for the message of an interruption
	failure  string          // reason in the build log, with its hint
}

// progress receives the client's reports.
func (v *deployView) progress(p client.Progress) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if p.Stage != v.stage {
		v.leave()
		v.enter(p)
	}
	v.stage, v.last = p.Stage, p
	switch p.Stage {
	case client.Hashing:
		v.live.Set(int64(p.Files), int64(p.TotalFiles), fmt.Sprintf("%d/%d files", p.Files, p.TotalFiles))
	case client.Uploading:
		v.uploaded = p
		v.live.Set(p.Bytes, p.TotalBytes, fmt.Sprintf("%d/%d files  %s of %s", p.Files, p.TotalFiles, terminal.Amount(p.Bytes), terminal.Amount(p.TotalBytes)))
	case client.Building:
		v.event(p.Event)
	case client.Done:
	}
}

// enter starts the display of a stage.
func (v *deployView) enter(p client.Progress) {
	switch p.Stage {
	case client.Hashing:
		v.live = v.Term.Live("Reading the build output")
	case client.Uploading:
		label := "Uploading"
		if !v.Term.Moves() {
			label += " " + terminal.Count(p.TotalFiles, "file") + ", " + terminal.Amount(p.TotalBytes)
		}
		v.live = v.Term.Live(label)
	case client.Building:
		v.live = v.Term.Live("Deploying " + string(p.Deployment.ID))
	case client.Done:
	}
}

// leave ends the display of the current stage.
func (v *deployView) leave() {
	switch v.stage {
	case client.Hashing:
		v.live.Finish("Read %s", terminal.Count(v.last.TotalFiles, "file"))
	case client.Uploading:
		v.live.Finish("Uploaded %s, %s", terminal.Count(v.last.Files, "file"), terminal.Amount(v.last.Bytes))
	case client.Building, client.Done:
		v.live.Stop()
	}
}

// event prints a line of the build log.
func (v *deployView) event(e *lateen.BuildLogLine) {
	if e == nil || e.Text == "" {
		return
	}
	if failure, ok := strings.CutPrefix(e.Text, failurePrefix); ok && e.Level == lateen.LevelError {
		v.failure = failure
		return // the command ends with it
	}
	for _, line := range terminal.CleanLines(e.Text) {
		if width := v.Term.Width(); width > 0 {
			line = strings.ReplaceAll(terminal.Wrap(line, width-4), "\n", "\n    ")
		}
		if e.Level != lateen.LevelError && e.Level != lateen.LevelWarning {
			line = terminal.Paint(terminal.Dim, line)
		}
		v.Term.Linef("  %s", command.PaintLevel(e.Level, line))
	}
}

// failurePrefix begins the last line of the build log of a deployment that failed.
const failurePrefix = "Error: "

// finish prints the URLs of the deployment.
func (v *deployView) finish(d *client.Deployment) {
	took := ""
	if d.ReadyAt > d.CreatedAt {
		took = " " + terminal.Paint(terminal.Dim, terminal.Elapsed(d.ReadyAt.Time().Sub(d.CreatedAt.Time())))
	}
	if d.State != lateen.Ready {
		v.Term.Donef("Uploaded; %s is %s", d.ID, d.State)
	} else {
		v.Term.Donef("Ready%s", took)
	}
	v.Term.Linef("")
	for _, f := range urls(d) {
		v.Term.Linef("  %s   %s", terminal.Pad(terminal.Paint(terminal.Bold, f[0]), 10, false), terminal.Paint(terminal.Code, f[1]))
	}
	v.Term.Linef("")
}

// tellProduction explains why a deployment serves production without a flag, or how to
// promote a deployment that does not.
func (s *session) tellProduction(ctx context.Context, on *command.Site, d *client.Deployment, asked bool) error {
	if d.State != lateen.Ready || d.Live && (asked || d.Environment() != lateen.Production) {
		return nil
	}
	if d.Live {
		s.Term.Linef("The first deployment of %s serves production. From now on, `lateen deploy` creates previews.", on.Project.Name)
		s.Term.Linef("")
		return nil
	}
	p, err := on.Client.Project(ctx, string(d.Project))
	if err != nil {
		return err
	}
	now := p.Targets[lateen.Production]
	switch {
	case d.Environment() == lateen.Production && p.PinnedByRollback && now != nil:
		s.Term.Linef("Production is pinned to %s by a rollback. Promote this deployment with `lateen promote %s`.", command.WithoutScheme(now.SiteURL), command.WithoutScheme(d.SiteURL))
	case d.Environment() == lateen.Production:
		s.Term.Linef("The deployment is staged. Promote it with `lateen promote %s`.", command.WithoutScheme(d.SiteURL))
	case now == nil:
		s.Term.Linef("%s has no production deployment yet. Create one with `%s` and `lateen deploy --prod`.", p.Name, buildCommand(lateen.Production))
	default:
		return nil
	}
	s.Term.Linef("")
	return nil
}

// urls are the URLs of a deployment, each with its kind.
func urls(d *client.Deployment) []terminal.Field {
	own := terminal.Field{"Deployment", d.SiteURL}
	switch {
	case d.Environment() == lateen.Production && !d.Live:
		return []terminal.Field{own}
	case len(d.Alias) == 0 || d.State != lateen.Ready:
		return []terminal.Field{{terminal.Capital(string(d.Environment())), d.SiteURL}}
	}
	return []terminal.Field{{terminal.Capital(string(d.Environment())), command.URLOf(d, d.Alias[0])}, own}
}

// tellUploaded explains how to continue an interrupted upload.
func (v *deployView) tellUploaded() {
	v.mu.Lock()
	defer v.mu.Unlock()
	if u := v.uploaded; u.Files > 0 && u.TotalFiles > u.Files {
		v.Term.Linef("%d of %s are uploaded. Continue with `lateen deploy`.", u.Files, terminal.Count(u.TotalFiles, "file"))
	}
}
