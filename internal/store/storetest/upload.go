package storetest

import (
	"fmt"
	"testing"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/store"
)

func testUpload(t *testing.T, s *store.Store) {
	ctx := t.Context()
	seed(t, s)
	check(t, s.CreateTeam(ctx, &lateen.Team{ID: "team_2", Slug: "other"}))
	a := store.Upload{Team: team, SHA1: "aa", Digest: "digest a", Size: 1 << 40, CreatedAt: 1}
	check(t, s.PutUpload(ctx, a))
	check(t, s.PutUpload(ctx, store.Upload{Team: team, SHA1: "bb", Digest: "digest b", CreatedAt: 2}))
	check(t, s.PutUpload(ctx, store.Upload{Team: "team_2", SHA1: "cc", Digest: "digest b", CreatedAt: 3}))
	wantError(t, s.PutUpload(ctx, store.Upload{Team: "team_3", SHA1: "cc"}), lateen.ErrTeamNotFound)

	want := map[lateen.SHA1]lateen.Blob{"aa": {Digest: "digest a", Size: 1 << 40}, "bb": {Digest: "digest b"}}
	wantResult(t, want)(s.FindUploads(ctx, team, []lateen.SHA1{"aa", "bb", "cc", "dd"}))
	wantResult(t, map[lateen.SHA1]lateen.Blob{})(s.FindUploads(ctx, team, nil))
	many := []lateen.SHA1{"bb"}
	for i := range 2500 { // more than the parameters of one statement
		many = append(many, lateen.SHA1(fmt.Sprint(i)))
	}
	wantResult(t, want)(s.FindUploads(ctx, team, append(many, "aa")))
	wantResult(t, []lateen.Digest{"digest a", "digest b"})(s.ListUploadDigests(ctx))

	a.CreatedAt = 5 // sent again
	check(t, s.PutUpload(ctx, a))
	wantResult(t, 1)(s.DeleteUploads(ctx, 3))
	wantResult(t, 0)(s.DeleteUploads(ctx, 3))
	wantResult(t, map[lateen.SHA1]lateen.Blob{"aa": want["aa"]})(s.FindUploads(ctx, team, []lateen.SHA1{"aa", "bb"}))
}
