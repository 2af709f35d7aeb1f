//go:build !linux

package daemon

import (
	"runtime"

	"github.com/lateen-dev/lateen"
)

func judgeKernel() (lateen.Verdict, string) {
	return lateen.Unfit, "this is " + runtime.GOOS + ": functions would run without a sandbox"
}

func fileSystem(string) (kind string, free int64, ok bool) { return "", 0, false }
