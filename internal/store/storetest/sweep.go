package storetest

import (
	"fmt"
	"slices"
	"testing"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/store"
)

// candidates are pairs of a kind and a name.
func candidates(pairs ...string) []store.Candidate {
	var all []store.Candidate
	for pair := range slices.Chunk(pairs, 2) {
		all = append(all, store.Candidate{Kind: pair[0], Name: pair[1]})
	}
	return all
}

func testCandidates(t *testing.T, s *store.Store) {
	ctx := t.Context()
	seed(t, s)
	check(t, s.CreateProject(ctx, &lateen.Project{ID: "prj_2", Team: team, Name: "second"}))
	one, two, three := newDeployment("dpl_1", 1), newDeployment("dpl_2", 2), newDeployment("dpl_3", 3)
	one.Manifest, one.Files = "m1", "f1"
	two.Files = "f1"
	three.Project, three.Manifest = "prj_2", "m3"
	for _, d := range []*lateen.Deployment{one, two, three} {
		check(t, s.CreateDeployment(ctx, d))
	}
	check(t, s.PutUpload(ctx, store.Upload{Team: team, SHA1: "aa", Digest: "u1", CreatedAt: 1}))
	check(t, s.NoteDeployment(ctx, "dpl_1", 10))
	check(t, s.NoteDeployment(ctx, "dpl_2", 10))
	check(t, s.NoteDeployment(ctx, "dpl_3", 20))
	check(t, s.NoteDeployment(ctx, "dpl_1", 30)) // already a candidate
	check(t, s.NoteCandidates(ctx, store.SweepContent, []string{"c1", "c2", "c1"}, 40))
	check(t, s.NoteCandidates(ctx, store.SweepContent, nil, 40))
	wantResult(t, []store.Candidate(nil))(s.ListCandidates(ctx, "", 10, 100))
	first := candidates("files", "f1", "manifest", "m1")
	wantResult(t, first)(s.ListCandidates(ctx, "", 20, 100))
	wantResult(t, first[:1])(s.ListCandidates(ctx, "", 20, 1))
	wantResult(t, candidates("manifest", "m1", "manifest", "m3"))(s.ListCandidates(ctx, store.SweepManifest, 100, 100))
	check(t, s.DeleteCandidates(ctx, append(first, store.Candidate{Kind: "content", Name: "absent"})))
	wantResult(t, candidates("manifest", "m3", "content", "c1", "content", "c2"))(s.ListCandidates(ctx, "", 100, 100))

	wantResult(t, 1)(s.DeleteUploads(ctx, 2)) // its content is a candidate immediately
	wantResult(t, candidates("content", "u1"))(s.ListCandidates(ctx, "", 1, 100))
	many := make([]string, 2500) // more than the parameters of one statement
	for i := range many {
		many[i] = fmt.Sprint("many ", i)
	}
	check(t, s.NoteCandidates(ctx, store.SweepContent, many, 50))
	got, err := s.ListCandidates(ctx, "", 51, 5000)
	if err != nil || len(got) != 2504 {
		t.Errorf("%d candidates, %v; want 2504", len(got), err)
	}
}
