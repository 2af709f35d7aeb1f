package sqlite_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/store"
	"github.com/lateen-dev/lateen/internal/store/sqlite"
)

// TestCrash kills a writing process several times, and checks that every
// acknowledged deployment is complete and no other one is incomplete.
func TestCrash(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lateen.db")
	total := 0
	for range 5 {
		acknowledged := crash(t, path, 20+rand.N(60))
		s, err := sqlite.Open(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		for _, id := range acknowledged {
			if _, err := s.GetDeployment(t.Context(), id); err != nil {
				t.Errorf("%s was acknowledged: %v", id, err)
			}
		}
		total += len(acknowledged)
		checkWhole(t, s, total)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// crash runs a writer until it has acknowledged n deployments, kills it, and returns
// all acknowledged deployments.
func crash(t *testing.T, path string, n int) []lateen.DeploymentID {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestCrashWriter$", "-test.v=false")
	cmd.Env = append(os.Environ(), "LATEEN_TEST_CRASH="+path)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(out)
	var ids []lateen.DeploymentID
	for {
		line, err := lines.ReadString('\n')
		if err == io.EOF { // an incomplete line is not an acknowledgment
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if ids = append(ids, lateen.DeploymentID(strings.TrimSpace(line))); len(ids) == n {
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := cmd.Wait(); len(ids) < n {
		t.Fatalf("the writer ended by itself after %d deployments: %v", len(ids), err)
	}
	return ids
}

// checkWhole checks that there are at least n deployments, each with its events.
func checkWhole(t *testing.T, s *store.Store, n int) {
	t.Helper()
	all, err := s.ListDeployments(t.Context(), store.DeploymentFilter{})
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < n {
		t.Errorf("%d deployments are left of %d", len(all), n)
	}
	for _, d := range all {
		if events, err := s.ListBuildLog(t.Context(), d.ID, 0, 0); err != nil || len(events) != 3 {
			t.Errorf("%s has %d events of 3: %v", d.ID, len(events), err)
		}
	}
}

// TestCrashWriter is the process that TestCrash kills: it writes deployments until
// its end and prints the durable ones.
func TestCrashWriter(t *testing.T) {
	path := os.Getenv("LATEEN_TEST_CRASH")
	if path == "" {
		t.Skip("runs within TestCrash")
	}
	s, err := sqlite.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	_ = s.CreateTeam(t.Context(), &lateen.Team{ID: "team_1", Slug: "team"})
	_ = s.CreateProject(t.Context(), &lateen.Project{ID: "prj_1", Team: "team_1", Name: "site"})
	for i := 0; ; i++ {
		id := lateen.DeploymentID(strconv.Itoa(os.Getpid()) + "_" + strconv.Itoa(i))
		if err := writeDeployment(t.Context(), s, id); err != nil {
			t.Fatal(err)
		}
		fmt.Println(id)
	}
}

func writeDeployment(ctx context.Context, s *store.Store, id lateen.DeploymentID) error {
	return s.Update(ctx, func(q *store.Queries) error {
		d := &lateen.Deployment{ID: id, Host: string(id), Project: "prj_1", Team: "team_1"}
		if err := q.CreateDeployment(ctx, d); err != nil {
			return err
		}
		return q.AppendBuildLog(ctx, id, make([]lateen.BuildLogLine, 3))
	})
}
