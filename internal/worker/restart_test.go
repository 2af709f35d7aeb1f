package worker_test

import (
	"path/filepath"
	"slices"
	"testing"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/worker"
)

// producer is a backend that records the productions.
type producer struct {
	worker.Backend

	produced chan lateen.DeploymentID
}

func (p *producer) Produce(_ lateen.ProjectID, d lateen.DeploymentID, _ []lateen.FunctionSpec) {
	p.produced <- d
}

// serve runs a worker's process, in this one, until stop.
func serve(t *testing.T, socket string) (p *producer, stop func()) {
	t.Helper()
	listener, err := worker.Listen(t.Context(), socket)
	if err != nil {
		t.Fatal(err)
	}
	p = &producer{produced: make(chan lateen.DeploymentID, 8)}
	return p, run(t, worker.NewServer(worker.ServerOptions{Backend: p, Listener: listener, Events: worker.NewEvents()}).Run)
}

// The functions write no log line, so that no event announces the processes.
func TestANewProcessGetsTheMinimumInstancesAtOnce(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "w")
	client := worker.New(worker.ClientOptions{Dial: worker.Dial(socket)})
	run(t, client.Run)
	client.Produce("prj_1", "dpl_1", []lateen.FunctionSpec{{Name: "fn"}})
	for range 3 {
		p, stop := serve(t, socket)
		var got []lateen.DeploymentID
		until(t, "the process gets no minimum instances", func() bool {
			select {
			case d := <-p.produced:
				got = append(got, d)
			default:
			}
			return slices.Contains(got, "dpl_1")
		})
		stop()
	}
}
