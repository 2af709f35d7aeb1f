package route_test

import (
	"os/exec"
	"testing"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/route"
)

// The test stops the whole process repeatedly during matches, as a busy host does.
func TestAPatternDoesNotFailOnABusyHost(t *testing.T) {
	r, err := route.Compile(&lateen.Manifest{Routes: []lateen.Route{{Src: `^/(?=a)(a+)+(?!b)c$`, Dest: "/x"}}})
	if err != nil {
		t.Fatal(err)
	}
	stops := exec.CommandContext(t.Context(), "sh", "-c", "for i in 1 2 3 4; do sleep 0.1; kill -STOP $PPID; sleep 0.4; kill -CONT $PPID; done")
	if err := stops.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- stops.Wait() }()
	for {
		d, err := r.Resolve(t.Context(), newRequest("GET", "/aaaaaaaaaaa!c"), nil)
		if err != nil || d.Reason == route.ReasonRouteTimeout {
			t.Fatalf("%+v, %v", d, err)
		}
		select {
		case err := <-ended:
			if err != nil {
				t.Fatal(err)
			}
			return
		default:
		}
	}
}
