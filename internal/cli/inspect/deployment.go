package inspect

import (
	"context"
	"strings"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/client"
	"github.com/lateen-dev/lateen/internal/cli/command"
	"github.com/lateen-dev/lateen/internal/terminal"
)

// stateText is the state of a deployment as tables show it.
func stateText(d *client.Deployment) string {
	dot := func(s terminal.Style, text string) string { return terminal.Paint(s, "● "+text) }
	switch d.State {
	case lateen.Ready:
		return dot(terminal.Good, "Ready")
	case lateen.Failed:
		return dot(terminal.Bad, "Failed")
	case lateen.Canceled:
		return dot(terminal.Dim, "Canceled")
	case lateen.Queued, lateen.Initializing:
		return dot(terminal.Warn, "Queued")
	default:
		return dot(terminal.Warn, "Building")
	}
}

// buildTime is the time from a deployment's creation to its ready state; "" if it is
// not ready.
func buildTime(d *client.Deployment) string {
	if d.ReadyAt <= d.CreatedAt {
		return ""
	}
	return terminal.Elapsed(d.ReadyAt.Time().Sub(d.CreatedAt.Time()))
}

// when formats a time with its age.
func (s *session) when(at lateen.Millis) string {
	if at == 0 {
		return ""
	}
	return s.Age(at) + " ago  " + terminal.Paint(terminal.Dim, at.Time().Format(time.RFC3339))
}

// commitText is the short hash and the subject of a deployment's commit.
func commitText(d *client.Deployment) string {
	if d.Git == nil || d.Git.CommitSHA == "" {
		return ""
	}
	subject, _, _ := strings.Cut(d.Git.CommitMessage, "\n")
	return terminal.Clean(d.Git.CommitSHA[:min(7, len(d.Git.CommitSHA))] + " " + subject)
}

// branch is the Git branch of a deployment, or "".
func branch(d *client.Deployment) string {
	if d.Git == nil {
		return ""
	}
	return terminal.Clean(d.Git.CommitRef)
}

// find returns a deployment by its id, URL or host, or the production deployment of a
// project by the project's name.
func (s *session) find(ctx context.Context, api *client.Client, text string) (*client.Deployment, error) {
	d, err := api.Deployment(ctx, command.Host(text))
	if !command.IsGone(err) || strings.HasPrefix(text, "dpl_") {
		return d, err
	}
	p, projectErr := api.Project(ctx, text)
	if projectErr != nil {
		return d, command.SuggestProject(ctx, api, text, err)
	}
	if now := p.Targets[lateen.Production]; now != nil {
		return now, nil
	}
	return d, lateen.ErrDeploymentNotFound.With("no deployment serves production of %s yet", p.Name)
}

// named returns the deployment that [session.find] finds, or production of the
// project of this directory if no name is given, and a client for its team.
func (s *session) named(ctx context.Context, name string) (*client.Client, *client.Deployment, error) {
	if name != "" {
		api, err := s.Client()
		if err != nil {
			return nil, nil, err
		}
		d, err := s.find(ctx, api, name)
		return api, d, err
	}
	on, err := s.Here(ctx)
	if err != nil {
		return nil, nil, err
	}
	d := on.Project.Targets[lateen.Production]
	if d == nil {
		return nil, nil, lateen.ErrDeploymentNotFound.With("no deployment serves production of %s yet", on.Project.Name).WithHint("create one with `lateen deploy --prod`")
	}
	return on.Client, d, nil
}
