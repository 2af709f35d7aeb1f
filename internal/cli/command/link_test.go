package command_test

import (
	"testing"

	"github.com/lateen-dev/lateen/internal/cli/command"
)

func TestOnlyRealLinksNameAProject(t *testing.T) {
	t.Parallel()
	if (*command.Link)(nil).Real() || (&command.Link{Project: "prj_local", Team: "team_local"}).Real() {
		t.Error("a link for builds without a server names a project")
	}
	if !(&command.Link{Project: "prj_01m83pb2tss0hx1cfxd4c05sez", Team: "team_01m83p9460x738bqjt3k1tczew"}).Real() {
		t.Error("a link does not name its project")
	}
}
