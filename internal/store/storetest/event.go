package storetest

import (
	"errors"
	"sync"
	"testing"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/store"
)

func testEvent(t *testing.T, s *store.Store) {
	ctx := t.Context()
	wantResult(t, int64(0))(s.LastEvent(ctx))
	first := []lateen.Event{
		{Type: lateen.HostBound, CreatedAt: 5, Team: team, Project: project, Subject: "www.example.com", Deployment: "dpl_1", Binding: lateen.Binding{Deployment: "dpl_1"}},
		{Type: lateen.CacheInvalidated, CreatedAt: 6, Team: team, Project: project, Subject: string(project), Invalidation: lateen.Invalidation{Data: true, Tags: []string{"a", "b"}, Grace: -1}},
	}
	check(t, s.AppendEvents(ctx, first))
	check(t, s.AppendEvents(ctx, nil))
	more := []lateen.Event{{Type: lateen.HostUnbound, CreatedAt: 7, Subject: "www.example.com"}}
	check(t, s.AppendEvents(ctx, more))
	if first[0].Serial != 1 || first[1].Serial != 2 || more[0].Serial != 3 {
		t.Errorf("serials %d, %d and %d, want 1 to 3", first[0].Serial, first[1].Serial, more[0].Serial)
	}
	wantResult(t, int64(3))(s.LastEvent(ctx))
	wantResult(t, []lateen.Event{first[0], first[1], more[0]})(s.ListEvents(ctx, 0, 10))
	wantResult(t, first[1:])(s.ListEvents(ctx, 1, 1))

	failure := errors.New("canceled")
	wantError(t, s.Update(ctx, func(q *store.Queries) error {
		return errors.Join(q.AppendEvents(ctx, []lateen.Event{{Type: lateen.HostUnbound}}), failure)
	}), failure)
	wantResult(t, int64(3))(s.LastEvent(ctx)) // a canceled transaction leaves no gap

	wantResult(t, int64(0))(s.DeleteEvents(ctx, 7, 2+1, 10))
	wantResult(t, int64(1))(s.DeleteEvents(ctx, 7, 0, 1))
	wantResult(t, int64(1))(s.DeleteEvents(ctx, 7, 0, 10))
	wantResult(t, more)(s.ListEvents(ctx, 0, 10))
	wantResult(t, int64(3))(s.LastEvent(ctx))
}

// Concurrent connections commit events in the order of their serials: a reader that
// has seen a serial has seen all earlier ones.
func testEventOrder(t *testing.T, open Open) {
	const writers, each = 3, 40
	ctx := t.Context()
	reader := mustOpen(t, open)
	var all sync.WaitGroup
	for range writers {
		s := mustOpen(t, open)
		all.Go(func() {
			for range each {
				err := s.AppendEvents(ctx, []lateen.Event{{Type: lateen.ProjectUpdated}, {Type: lateen.ProjectUpdated}})
				for lateen.CodeOf(err) == lateen.Unavailable {
					err = s.AppendEvents(ctx, []lateen.Event{{Type: lateen.ProjectUpdated}, {Type: lateen.ProjectUpdated}})
				}
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for last := int64(0); last < 2*writers*each && !t.Failed(); {
		events, err := reader.ListEvents(ctx, last, 1000)
		check(t, err)
		for i := range events {
			if last++; events[i].Serial != last {
				t.Fatalf("got the serial %d after %d", events[i].Serial, last-1)
			}
		}
	}
	all.Wait()
}
