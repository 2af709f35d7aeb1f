package local

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/lateen-dev/lateen"
)

// newestNode is the newest version of Node.js; it runs edge functions as well.
const newestNode = 24

// nodeVersions are the supported major versions of Node.js, in ascending order.
func nodeVersions() []int { return []int{22, newestNode} }

// nodeFor returns the Node.js for a runtime, and a notice for the function's log.
func nodeFor(runtime string) (major int, notice string, err error) {
	if runtime == "edge" {
		return newestNode, "", nil
	}
	versions := nodeVersions()
	text, ok := strings.CutPrefix(runtime, "nodejs")
	text, dotX := strings.CutSuffix(text, ".x")
	wanted, err := strconv.Atoi(text)
	switch {
	case !ok || !dotX || err != nil || wanted > versions[len(versions)-1]:
		return 0, "", lateen.ErrFunctionRuntime.With("this platform does not run the runtime %q", runtime).
			WithHint("it runs nodejs22.x, nodejs24.x, older versions of Node.js on 22, edge, python3.11 and newer where the host has it, bun1.x, executable, provided.al2023 and wasi")
	case slices.Contains(versions, wanted):
		return wanted, "", nil
	default:
		return versions[0], fmt.Sprintf("Node.js %d is at its end of life: this function runs on Node.js %d", wanted, versions[0]), nil
	}
}
