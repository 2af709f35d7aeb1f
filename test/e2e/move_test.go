//go:build e2e

package e2e_test

import (
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/lateen-dev/lateen/client"
)

// While production moves forth and back and earlier deployments are removed, every
// request is answered, by the version before or the version after.
func TestProductionAnswersWhileItMoves(t *testing.T) {
	t.Parallel()
	p := common(t)
	c := p.client()
	dir := filepath.Join(t.TempDir(), "mover")
	ship := func(version int) *client.Deployment {
		t.Helper()
		voyage(t, dir, "production", fmt.Sprint("version ", version))
		d, err := c.Deploy(t.Context(), client.DeployOptions{Dir: dir, Project: "mover", Target: "production"})
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	versions := []*client.Deployment{ship(0)}
	s := site{p, "mover.localhost"}

	var visitors sync.WaitGroup
	var stop atomic.Bool
	var asked atomic.Int64
	for _, path := range []string{"/", "/", "/api/env"} {
		visitors.Go(func() {
			for !stop.Load() && t.Context().Err() == nil {
				asked.Add(1)
				r, err := s.try(t, http.MethodGet, path, nil)
				if err != nil || r.Status != http.StatusOK || path == "/" && !strings.Contains(r.Body, "<h1>version ") {
					t.Errorf("%s while production moves: %v %+v", path, err, r)
				}
			}
		})
	}
	move := func(verb func() error, version int) {
		t.Helper()
		if err := verb(); err != nil {
			t.Error(err)
		}
		s.says(t, fmt.Sprint("version ", version)) // from the moment it is said to be done
	}
	for version := 1; version <= 8; version++ {
		d := ship(version)
		s.says(t, fmt.Sprint("version ", version))
		before := versions[len(versions)-1]
		move(func() error { _, err := c.Rollback(t.Context(), "mover", string(before.ID)); return err }, version-1)
		move(func() error { _, err := c.Promote(t.Context(), "mover", string(d.ID)); return err }, version)
		if err := c.DeleteDeployment(t.Context(), string(before.ID), false); err != nil {
			t.Error(err)
		}
		(site{p, before.Host}).gone(t)
		versions = append(versions, d)
	}
	stop.Store(true)
	visitors.Wait()
	t.Logf("%d requests", asked.Load())
}
