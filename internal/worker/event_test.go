package worker_test

import (
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/worker"
)

// received are the events that a client has passed on.
type received struct {
	mu     sync.Mutex // guards the fields below
	texts  map[string]bool
	purges map[lateen.DeploymentID]int // bytes of tags
}

func (r *received) Log(line lateen.LogLine) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.texts[line.Text] = true
}

func (r *received) purge(p worker.Purge) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.purges[p.Deployment] += len(strings.Join(p.Tags, ""))
}

// receive passes the events on to a client until a line with the text end has arrived.
func receive(t *testing.T, events *worker.Events) *received {
	t.Helper()
	const end = "the end"
	events.Log(lateen.LogLine{Project: "prj_end", Text: end})
	socket := filepath.Join(t.TempDir(), "w")
	listener, err := worker.Listen(t.Context(), socket)
	if err != nil {
		t.Fatal(err)
	}
	run(t, worker.NewServer(worker.ServerOptions{Listener: listener, Events: events}).Run)
	r := &received{texts: map[string]bool{}, purges: map[lateen.DeploymentID]int{}}
	run(t, worker.New(worker.ClientOptions{Dial: worker.Dial(socket), Lines: r, Purge: r.purge}).Run)
	until(t, "the last line does not arrive", func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return r.texts[end]
	})
	return r
}

// No control process takes the events of a worker, while one project makes many.
func TestTheEventsOfOneProjectLeaveRoomForThoseOfOthers(t *testing.T) {
	const many = 20_000
	t.Run("lines", func(t *testing.T) {
		events := worker.NewEvents()
		for i := range many {
			events.Log(lateen.LogLine{Project: "prj_noisy", Text: strconv.Itoa(i)})
		}
		events.Log(lateen.LogLine{Project: "prj_other", Text: "other"})
		if r := receive(t, events); !r.texts["other"] {
			t.Error("the line of another project is lost")
		}
	})
	t.Run("invalidations", func(t *testing.T) {
		events := worker.NewEvents()
		events.Purge(worker.Purge{Project: "prj_other", Deployment: "dpl_other", Tags: []string{"x"}})
		for range many {
			events.Purge(worker.Purge{Project: "prj_noisy", Deployment: "dpl_noisy", Tags: []string{"x"}})
		}
		if r := receive(t, events); r.purges["dpl_other"] == 0 || r.purges["dpl_noisy"] == 0 {
			t.Errorf("the bytes of the invalidations are %v", r.purges)
		}
	})
	t.Run("long invalidations", func(t *testing.T) {
		events, long := worker.NewEvents(), strings.Repeat("x", 1<<20)
		for range 100 {
			events.Purge(worker.Purge{Project: "prj_noisy", Deployment: "dpl_noisy", Tags: []string{long}})
		}
		events.Purge(worker.Purge{Project: "prj_other", Deployment: "dpl_other", Tags: []string{long}})
		if r := receive(t, events); r.purges["dpl_noisy"] > 8<<20 || r.purges["dpl_other"] == 0 {
			t.Errorf("the bytes of the invalidations are %v", r.purges)
		}
	})
}
