package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/secret"
	"github.com/lateen-dev/lateen/internal/store"
	"github.com/lateen-dev/lateen/internal/store/sqlite"
)

const (
	registered = 100_000
	batch      = 5000
	sampled    = 300 // functions that get a request
)

func registeredChapter() chapter {
	return chapter{
		name: "registered", title: "A hundred thousand registered functions",
		method: fmt.Sprintf(`A small function is deployed; then, with the platform stopped, %d further projects of one production deployment with that function each
are written to its database, through the platform's own store, each with a host of its own and an alias. All share one manifest and one
tree, unlike real ones: those take additional space in the artifact directory, and are not in memory until a
function gets a request. Then the platform is started on it, %d of them get one request each, and all stop.`, registered, sampled),
		measure: measureRegistered,
	}
}

// footprint is the resource usage of a platform at one time.
type footprint struct {
	memory, disk int64
	start        time.Duration // until it answered
}

func measureRegistered(ctx context.Context, b *bench) ([]table, error) {
	p, err := b.up(ctx, "--keep-alive", keepAlive.String(), "--pool", "2")
	if err != nil {
		return nil, err
	}
	defer func() { p.stop() }()
	s, err := p.deployCopies(ctx, "first", 1, handlerReqRes)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(ignoreNotIdle(p.waitIdle(ctx)), p.idle(ctx, s)); err != nil {
		return nil, err
	}
	few, err := p.again(ctx, func() error { return nil })
	if err != nil {
		return nil, err
	}
	n := b.times(registered)
	var hosts []string
	many, err := p.again(ctx, func() error {
		var err error
		hosts, err = p.register(ctx, s, n)
		return err
	})
	if err != nil {
		return nil, err
	}
	began, took := time.Now(), sample{}
	for i := range sampled {
		if i%50 == 0 {
			b.line.say("asking %d of %d", i, sampled)
		}
		host := hosts[i*len(hosts)/sampled]
		resp, err := (&site{platform: p, host: host}).get(ctx, copyPath(0), "")
		if err != nil {
			return nil, err
		}
		took = append(took, resp.first)
	}
	asking := time.Since(began)
	if err := errors.Join(pause(ctx, 5*keepAlive), ignoreNotIdle(p.waitIdle(ctx))); err != nil {
		return nil, err
	}
	after := p.usage().rss
	t := table{head: []string{"quantity", "value"}}
	each := func(bytes int64, n int) string { return fmt.Sprintf("%.2f KiB", float64(bytes)/1024/float64(n)) }
	t.add(ours, "**memory of one registered, idle function**", each(many.memory-few.memory, n))
	t.add(ours, "disk of one, in the database", each(many.disk-few.disk, n))
	t.add(ours, fmt.Sprintf("memory of lateen with 1 and with %d registered, RSS", n), mib(few.memory)+" and "+mib(many.memory)+" MiB")
	t.add(ours, "start of the platform until it answers, with 1 and with all", fmt.Sprintf("%s and %s ms", ms(few.start), ms(many.start)))
	t.add(ours, fmt.Sprintf("memory of a stopped function after a request (%d functions)", sampled), each(max(0, after-many.memory), sampled))
	t.add(ours, "first byte of those that were asked, p50, p99, max", fmt.Sprintf("%s, %s, %s ms", ms(took.median()), ms(took.quantile(0.99)), ms(took.quantile(1))))
	t.notes = append(t.notes, fmt.Sprintf("The goal is 4 KiB of memory each. %d were asked in %s, one after the other; each of them loads its deployment from the database first.", sampled, asking.Round(time.Second)))
	return []table{t}, nil
}

// again stops the platform, changes its data by do, starts it and returns its
// resource usage.
func (p *platform) again(ctx context.Context, do func() error) (footprint, error) {
	p.process.stop()
	if err := do(); err != nil {
		return footprint{}, err
	}
	began := time.Now()
	if err := p.start(ctx); err != nil {
		return footprint{}, err
	}
	l := footprint{start: time.Since(began)}
	if err := ignoreNotIdle(p.waitIdle(ctx)); err != nil {
		return l, err
	}
	l.memory = p.usage().rss
	for _, name := range []string{"lateen.db", "lateen.db-wal"} {
		if info, err := os.Stat(filepath.Join(p.dir, name)); err == nil {
			l.disk += info.Size()
		}
	}
	return l, nil
}

// register writes n more projects like that of s to the database of the
// platform, which is stopped, and returns their hosts.
func (p *platform) register(ctx context.Context, s *site, n int) (_ []string, err error) {
	db, err := sqlite.Open(ctx, filepath.Join(p.dir, "lateen.db"))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	projects, err := db.ListProjects(ctx, store.ProjectFilter{Search: s.project})
	if err != nil || len(projects) != 1 {
		return nil, errors.Join(err, fmt.Errorf("%d projects are called %s", len(projects), s.project))
	}
	project := projects[0]
	deployment, err := db.GetDeployment(ctx, project.Production)
	if err != nil {
		return nil, err
	}
	keeper, err := secret.OpenFile(filepath.Join(p.dir, "key"))
	if err != nil {
		return nil, err
	}
	env, err := keeper.Open(deployment.Env, []byte(deployment.ID))
	if err != nil {
		return nil, err
	}
	var hosts []string
	for from := 0; from < n; from += batch {
		p.bench.line.say("registering %d of %d", from, n)
		var some []string
		err := db.Update(ctx, func(q *store.Queries) error {
			some = some[:0]
			for i := from; i < min(n, from+batch); i++ {
				host, err := registerOne(ctx, q, *project, *deployment, i, func(id lateen.DeploymentID) ([]byte, error) { return keeper.Seal(env, []byte(id)) })
				if err != nil {
					return err
				}
				some = append(some, host)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
		hosts = append(hosts, some...)
	}
	return hosts, nil
}

// registerOne writes copies of a project and its deployment under names of their
// own. seal seals the environment of one.
func registerOne(ctx context.Context, q *store.Queries, project lateen.Project, d lateen.Deployment, i int, seal func(lateen.DeploymentID) ([]byte, error)) (_ string, err error) {
	now := time.Now()
	project.ID, project.Name, project.Production = lateen.NewID[lateen.ProjectID]("prj_", now), "copy-"+strconv.Itoa(i), ""
	if err := q.CreateProject(ctx, &project); err != nil {
		return "", err
	}
	d.ID, d.Project, d.Name = lateen.NewID[lateen.DeploymentID]("dpl_", now), project.ID, project.Name
	d.Host = fmt.Sprintf("copy-%d-%s-team.localhost", i, lateen.NewHash(9))
	if d.Env, err = seal(d.ID); err != nil {
		return "", err
	}
	if err := q.CreateDeployment(ctx, &d); err != nil {
		return "", err
	}
	project.Production = d.ID
	if err := q.UpdateProject(ctx, &project); err != nil {
		return "", err
	}
	a := lateen.Alias{
		ID: lateen.NewID[lateen.AliasID]("als_", now), Host: project.Name + ".localhost", Project: project.ID, Team: project.Team,
		Deployment: d.ID, Automatic: true, CreatedAt: project.CreatedAt, UpdatedAt: project.UpdatedAt,
	}
	_, err = q.PutAlias(ctx, &a)
	return a.Host, err
}
