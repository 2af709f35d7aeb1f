package storetest

import (
	"testing"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/store"
)

func testEnv(t *testing.T, s *store.Store) {
	ctx := t.Context()
	seed(t, s)
	sealed := "\x00\xff\xfe sealed \x80"
	e := &lateen.EnvVar{
		ID: "env_1", Project: project, Key: "KEY", Value: sealed, Type: lateen.EnvEncrypted,
		Target: []lateen.Environment{lateen.Production, lateen.Preview}, Comment: "a comment", CreatedAt: 1, UpdatedAt: 2,
	}
	check(t, s.CreateEnv(ctx, e))
	wantResult(t, e)(s.GetEnv(ctx, project, "env_1"))
	_, err := s.GetEnv(ctx, "prj_2", "env_1")
	wantError(t, err, lateen.ErrEnvNotFound)

	clash := &lateen.EnvVar{ID: "env_2", Project: project, Key: "KEY", Target: []lateen.Environment{lateen.Development, lateen.Preview}}
	wantError(t, s.CreateEnv(ctx, clash), lateen.ErrEnvTaken)
	_, err = s.GetEnv(ctx, project, "env_2")
	wantError(t, err, lateen.ErrEnvNotFound) // no part of it was stored
	clash.GitBranch = "feature"              // no longer conflicts
	clash.Target = []lateen.Environment{lateen.Preview}
	check(t, s.CreateEnv(ctx, clash))
	other := &lateen.EnvVar{ID: "env_3", Project: project, Key: "ANOTHER", Target: []lateen.Environment{lateen.Preview}, CreatedAt: 3}
	check(t, s.CreateEnv(ctx, other))
	wantResult(t, []*lateen.EnvVar{other, clash, e})(s.ListEnv(ctx, project))
	wantError(t, s.CreateEnv(ctx, &lateen.EnvVar{ID: "env_4", Project: "prj_2", Key: "K"}), lateen.ErrProjectNotFound)

	e.Key, e.Value, e.Type, e.Comment, e.UpdatedAt = "NEW", "", lateen.EnvPlain, "", 9
	e.Target = []lateen.Environment{lateen.Preview, "staging", lateen.Production}
	check(t, s.UpdateEnv(ctx, e))
	wantResult(t, e)(s.GetEnv(ctx, project, "env_1"))
	before := *other
	other.Key = "NEW"
	wantError(t, s.UpdateEnv(ctx, other), lateen.ErrEnvTaken)
	wantResult(t, &before)(s.GetEnv(ctx, project, "env_3"))
	wantError(t, s.UpdateEnv(ctx, &lateen.EnvVar{ID: "env_4", Project: project}), lateen.ErrEnvNotFound)

	wantError(t, s.DeleteEnv(ctx, "prj_2", "env_1"), lateen.ErrEnvNotFound)
	check(t, s.DeleteEnv(ctx, project, "env_1"))
	wantError(t, s.DeleteEnv(ctx, project, "env_1"), lateen.ErrEnvNotFound)
	check(t, s.CreateEnv(ctx, e)) // its environments are free
}
