package control_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/control"
	"github.com/lateen-dev/lateen/internal/control/controltest"
	"github.com/lateen-dev/lateen/internal/store/postgres"
	"github.com/lateen-dev/lateen/internal/store/postgrestest"
)

// leaseTime is long enough for a process on a busy machine to renew its lease.
const leaseTime = 3 * time.Second

// counted is a builder that announces each assembly, and then waits if it is to hang.
type counted struct {
	control.Builder

	began func()
	hang  bool
}

// Assemble implements [control.Builder].
func (b *counted) Assemble(ctx context.Context, src lateen.Source, log func(string)) (lateen.Digest, *lateen.Manifest, error) {
	b.began()
	if b.hang {
		<-ctx.Done()
		return "", nil, ctx.Err()
	}
	return b.Builder.Assemble(ctx, src, log)
}

// replica returns a process' control on a directory and a database of several
// processes.
func replica(t *testing.T, dir, database, name string, began func(), hang bool) *controltest.Platform {
	t.Helper()
	db, err := postgres.Open(t.Context(), database)
	if err != nil {
		t.Fatal(err)
	}
	return controltest.On(t, dir, db, 50*time.Millisecond, func(o *control.Options) {
		o.Replica, o.LeaseTime, o.Builder = name, leaseTime, &counted{o.Builder, began, hang}
	})
}

// TestReplicaProcess is the other process of the tests below. It prints a line for
// each assembly.
func TestReplicaProcess(t *testing.T) {
	dir := os.Getenv("TEST_REPLICA_DIR")
	if dir == "" {
		t.Skip("it runs as a process of other tests")
	}
	began := func() { fmt.Println("began") }
	replica(t, dir, os.Getenv("TEST_REPLICA_DATABASE"), "process", began, os.Getenv("TEST_REPLICA_HANGS") != "").Start(t)
	fmt.Println("ready")
	<-t.Context().Done()
}

// process starts another process on the directory and the database, and returns the
// channel of its lines.
func process(t *testing.T, dir, database, hangs string) (kill func(), lines <-chan string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestReplicaProcess$", "-test.timeout=5m")
	cmd.Env = append(os.Environ(), "TEST_REPLICA_DIR="+dir, "TEST_REPLICA_DATABASE="+database, "TEST_REPLICA_HANGS="+hangs)
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	kill = sync.OnceFunc(func() { // SIGKILL
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	t.Cleanup(kill)
	said := make(chan string, 100)
	go func() {
		defer close(said)
		for s := bufio.NewScanner(out); s.Scan(); {
			if line := s.Text(); line == "began" || line == "ready" {
				said <- line
			} else if strings.Contains(line, "FAIL") {
				said <- line
			}
		}
	}()
	if line := <-said; line != "ready" {
		t.Fatalf("the other process printed %q", line)
	}
	return kill, said
}

func TestAProcessTakesOverTheAssembliesOfAKilledProcessAndNoOthers(t *testing.T) {
	t.Parallel()
	database, dir := postgrestest.NewDatabase(t), t.TempDir()
	var mu sync.Mutex
	here := 0
	p := replica(t, dir, database, "test", func() { mu.Lock(); defer mu.Unlock(); here++ }, false)
	began := func() int { mu.Lock(); defer mu.Unlock(); return here }
	kill, lines := process(t, dir, database, "yes")
	c := &tester{Platform: p, t: t, ctx: p.As(t, p.Token)}
	d := c.accept("a page", "")
	if line := <-lines; line != "began" {
		t.Fatalf("the other process printed %q", line)
	}
	p.Start(t)
	// The other process renews its lease, and keeps it beyond the time of a lease.
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for turn := int64(0); turn < 6; <-tick.C {
		waiting, err := p.Store.ListUnfinished(t.Context())
		if err != nil || len(waiting) != 1 || waiting[0].Lease.Owner != "process" {
			t.Fatalf("unfinished are %v, %v", waiting, err)
		}
		turn = waiting[0].Lease.Turn
	}
	if n := began(); n != 0 {
		t.Fatalf("the deployment was assembled %d times beside the other process", n)
	}
	kill()
	if d = c.await(d.ID); d.State != lateen.Ready {
		t.Errorf("the deployment is %s", d.State)
	}
	if n := began(); n != 1 {
		t.Errorf("the deployment was assembled %d times after the end of the other process, want once", n)
	}
}

func TestProcessesShareTheAssemblies(t *testing.T) {
	t.Parallel()
	const deployments = 12
	database, dir := postgrestest.NewDatabase(t), t.TempDir()
	total := make(chan string, 100)
	p := replica(t, dir, database, "test", func() { total <- "here" }, false)
	_, lines := process(t, dir, database, "")
	p.Start(t)
	go func() {
		for line := range lines {
			total <- line
		}
	}()
	c := &tester{Platform: p, t: t, ctx: p.As(t, p.Token)}
	var all []lateen.DeploymentID
	for i := range deployments {
		all = append(all, c.accept(fmt.Sprint("page ", i), "").ID)
	}
	for _, id := range all {
		if d := c.await(id); d.State != lateen.Ready {
			t.Errorf("a deployment is %s: %s", d.State, d.ErrorText)
		}
	}
	counts := map[string]int{}
	for range deployments {
		counts[<-total]++
	}
	select {
	case line := <-total:
		t.Errorf("a further assembly: %q", line)
	default:
	}
	t.Logf("assemblies: %v", counts)
}
