//go:build linux

package daemon

import (
	"testing"

	"github.com/lateen-dev/lateen"
)

func TestKernelsAreAssessedByTheirRelease(t *testing.T) {
	for release, want := range map[string]lateen.Verdict{
		"6.18.44-fc-v669": lateen.Fit, "5.14.0-503.el9.x86_64": lateen.Fit, "5.12.1": lateen.Lacking, "5.10.0-30-amd64": lateen.Unfit, "4.19": lateen.Unfit, "": lateen.Lacking,
	} {
		if got := judgeRelease(release); got != want {
			t.Errorf("%q is %s, want %s", release, got, want)
		}
	}
}
