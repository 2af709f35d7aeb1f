package storetest

import (
	"fmt"
	"testing"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/store"
)

// Benchmark measures an empty store after it has added a project of 1,000
// deployments.
func Benchmark(b *testing.B, s *store.Store) {
	fill(b, s)
	for _, c := range []struct {
		name string
		run  func() error
	}{
		{"GetTokenByHash", func() error { _, err := s.GetTokenByHash(b.Context(), "hash"); return err }},
		{"GetDeployment", func() error { _, err := s.GetDeployment(b.Context(), "dpl_500"); return err }},
		{"GetAlias", func() error { _, err := s.GetAlias(b.Context(), "500.alias"); return err }},
		{"ListDeployments20", func() error {
			_, err := s.ListDeployments(b.Context(), store.DeploymentFilter{Team: team, Project: project, Limit: 20})
			return err
		}},
		{"ListDeploymentsMeta", func() error {
			_, err := s.ListDeployments(b.Context(), store.DeploymentFilter{Team: team, Meta: map[string]string{"sha": "7"}, Limit: 20})
			return err
		}},
		{"ListHosts2000", func() error { _, err := s.ListHosts(b.Context()); return err }},
		{"PutSetting", func() error { return s.PutSetting(b.Context(), "key", "value") }},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := c.run(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func fill(b *testing.B, s *store.Store) {
	b.Helper()
	ctx := b.Context()
	err := s.Update(ctx, func(q *store.Queries) error {
		err := q.CreateUser(ctx, &lateen.User{ID: user, Username: "ada"})
		if err == nil {
			err = q.CreateTeam(ctx, &lateen.Team{ID: team, Slug: "team"})
		}
		if err == nil {
			err = q.CreateProject(ctx, &lateen.Project{ID: project, Team: team, Name: "site"})
		}
		if err == nil {
			err = q.CreateToken(ctx, &lateen.Token{ID: "tok_1", User: user, Hash: "hash"})
		}
		for i := 0; i < 1000 && err == nil; i++ {
			d := newDeployment(lateen.DeploymentID(fmt.Sprint("dpl_", i)), lateen.Millis(i))
			d.State, d.Meta = lateen.Ready, map[string]string{"sha": fmt.Sprint(i % 10)}
			if err = q.CreateDeployment(ctx, d); err == nil {
				_, err = q.PutAlias(ctx, &lateen.Alias{
					ID: lateen.AliasID(fmt.Sprint(i)), Host: fmt.Sprint(i, ".alias"), Project: project, Team: team, Deployment: d.ID,
				})
			}
		}
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
}
