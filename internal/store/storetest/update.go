package storetest

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"testing"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/store"
)

func testUpdate(t *testing.T, s *store.Store) {
	ctx := t.Context()
	check(t, s.Update(ctx, func(q *store.Queries) error {
		if err := q.CreateTeam(ctx, &lateen.Team{ID: team, Slug: "team"}); err != nil {
			return err
		}
		if _, err := q.GetTeam(ctx, "team"); err != nil { // it sees its own write
			return err
		}
		if _, err := s.GetTeam(ctx, "team"); !errors.Is(err, lateen.ErrTeamNotFound) { // other transactions do not
			t.Errorf("before the commit: %v", err)
		}
		return q.CreateProject(ctx, &lateen.Project{ID: project, Team: team, Name: "site"})
	}))
	_, err := s.FindProject(ctx, project)
	check(t, err)
}

func testUpdateFails(t *testing.T, s *store.Store) {
	ctx := t.Context()
	seed(t, s)
	boom := errors.New("boom")
	wantError(t, s.Update(ctx, func(q *store.Queries) error {
		check(t, q.PutSetting(ctx, "key", "1"))
		return boom
	}), boom)
	wantError(t, s.Update(ctx, func(q *store.Queries) error { // it continues after a failed write
		check(t, q.PutSetting(ctx, "key", "2"))
		_ = q.CreateProject(ctx, &lateen.Project{ID: "prj_2", Team: team, Name: "site"})
		return nil
	}), lateen.ErrProjectTaken)
	wantError(t, s.Update(ctx, func(q *store.Queries) error {
		check(t, q.PutSetting(ctx, "key", "3"))
		_ = q.DeleteAlias(ctx, "als_9")
		return nil
	}), lateen.ErrAliasNotFound)
	check(t, s.CreateProject(ctx, &lateen.Project{ID: "prj_3", Team: team, Name: "third"}))
	check(t, s.CreateDeployment(ctx, newDeployment("dpl_1", 1)))
	_, err := s.PutAlias(ctx, &lateen.Alias{ID: "als_1", Host: "a", Project: project, Team: team, Deployment: "dpl_1"})
	check(t, err)
	wantError(t, s.Update(ctx, func(q *store.Queries) error {
		check(t, q.PutSetting(ctx, "key", "3"))
		_, _ = q.PutAlias(ctx, &lateen.Alias{ID: "als_2", Host: "a", Project: "prj_3", Team: team, Deployment: "dpl_1"})
		return nil
	}), lateen.ErrAliasTaken)
	func() {
		defer func() { _ = recover() }()
		_ = s.Update(ctx, func(q *store.Queries) error {
			check(t, q.PutSetting(ctx, "key", "4"))
			panic(boom)
		})
	}()
	if value, ok, err := s.GetSetting(ctx, "key"); ok || err != nil {
		t.Errorf("stored %q, %v", value, err)
	}
	check(t, s.PutSetting(ctx, "key", "5"))
}

func testUpdateCanceled(t *testing.T, s *store.Store) {
	ctx, cancel := context.WithCancel(t.Context())
	err := s.Update(ctx, func(q *store.Queries) error {
		check(t, q.PutSetting(ctx, "key", "1"))
		cancel()
		return nil
	})
	if err == nil {
		t.Error("a canceled transaction succeeded")
	}
	if _, ok, err := s.GetSetting(t.Context(), "key"); ok || err != nil {
		t.Errorf("it was stored, %v", err)
	}
	wantError(t, s.PutSetting(ctx, "key", "2"), context.Canceled)
	check(t, s.PutSetting(t.Context(), "key", "3"))
}

func testReopen(t *testing.T, open Open) {
	s, err := open(t)
	check(t, err)
	seed(t, s)
	check(t, s.Close())
	s = mustOpen(t, open)
	_, err = s.FindProject(t.Context(), project)
	check(t, err)
}

// testOpenTogether opens an empty database concurrently, like processes that start
// at the same time.
func testOpenTogether(t *testing.T, open Open) {
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			s, err := open(t)
			if err != nil {
				t.Error(err)
				return
			}
			defer s.Close()
			if _, err := s.ListProjects(t.Context(), store.ProjectFilter{}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

// testManyWriters counts up through independent stores: every transaction is
// serializable, and no writer sees a conflict.
func testManyWriters(t *testing.T, open Open) {
	const stores, writers, rounds = 2, 4, 10
	var wg sync.WaitGroup
	for range stores {
		s := mustOpen(t, open)
		for range writers {
			wg.Go(func() {
				for range rounds {
					if err := increment(t.Context(), s); err != nil {
						t.Error(err)
					}
				}
			})
		}
	}
	wg.Wait()
	value, _, err := mustOpen(t, open).GetSetting(t.Context(), "count")
	check(t, err)
	if want := strconv.Itoa(stores * writers * rounds); value != want {
		t.Errorf("counted to %s, want %s", value, want)
	}
}

func increment(ctx context.Context, s *store.Store) error {
	return s.Update(ctx, func(q *store.Queries) error {
		value, ok, err := q.GetSetting(ctx, "count")
		if err != nil {
			return err
		}
		count := 0
		if ok {
			if count, err = strconv.Atoi(value); err != nil {
				return err
			}
		}
		return q.PutSetting(ctx, "count", strconv.Itoa(count+1))
	})
}
