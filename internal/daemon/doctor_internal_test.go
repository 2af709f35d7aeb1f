//go:build linux

package daemon

import (
	"slices"
	"testing"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/sandbox"
)

func TestKernelsAreJudgedByTheirRelease(t *testing.T) {
	for release, want := range map[string]lateen.Verdict{
		"6.18.44-fc-v669": lateen.Fit, "5.14.0-503.el9.x86_64": lateen.Fit, "5.12.1": lateen.Lacking, "5.10.0-30-amd64": lateen.Unfit, "4.19": lateen.Unfit, "": lateen.Lacking,
	} {
		if got := judgeRelease(release); got != want {
			t.Errorf("%q is %s, want %s", release, got, want)
		}
	}
}

func TestNeededWallsExist(t *testing.T) {
	s, err := sandbox.Open(sandbox.Options{Unwalled: true})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for _, name := range neededWalls() {
		if !slices.ContainsFunc(s.Walls(), func(w sandbox.Wall) bool { return w.Name == name }) {
			t.Errorf("there is no wall %q", name)
		}
	}
}
