package main

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strconv"
	"sync/atomic"
	"time"
)

func deployChapter() chapter {
	return chapter{
		name: "deploy", title: "Deploying",
		method: `The wall time of one command, from its start to its end, deploying the built examples/nextjs: ` + "`vercel deploy --prebuilt`" + `
(unmodified, linked before) and ` + "`lateen deploy`" + `. It includes the start of the CLI, hashing, uploading, unpacking,
compressing, writing durably, and waiting until the deployment is READY. *First* is to a platform with an empty data directory,
*unchanged* is the same command once more. A first pass of each CLI, which is not timed, goes through a proxy that counts uploads.`,
		measure: measureDeploy,
	}
}

// deployer is a CLI that deploys.
type deployer struct {
	name    string
	kind    kind
	prepare func(ctx context.Context, p *platform, dir, api string) error
	deploy  func(ctx context.Context, p *platform, dir, api string) error
}

func deployers() []deployer {
	return []deployer{
		{
			name: "lateen deploy", kind: ours,
			prepare: func(context.Context, *platform, string, string) error { return nil },
			deploy: func(ctx context.Context, p *platform, dir, api string) error {
				_, err := p.lateen(ctx, dir, api, "deploy", "--yes")
				return err
			},
		},
		{
			name: "vercel deploy --prebuilt", kind: peer,
			prepare: func(ctx context.Context, p *platform, dir, api string) error {
				_, err := p.vercel(ctx, dir, api, "link", "--yes")
				return err
			},
			deploy: func(ctx context.Context, p *platform, dir, api string) error {
				_, err := p.vercel(ctx, dir, api, "deploy", "--prebuilt", "--yes")
				return err
			},
		},
	}
}

// deployed is the result of deploying by one CLI.
type deployed struct {
	took    [2]sample // first, unchanged
	uploads [2]int
}

func measureDeploy(ctx context.Context, b *bench) ([]table, error) {
	rounds := b.times(3)
	all := deployers()
	results := make([]deployed, len(all))
	failures := make([]error, len(all))
	for round := -1; round < rounds; round++ {
		for i, d := range all {
			if failures[i] != nil {
				continue
			}
			b.line.say("round %d of %d: %s", round+1, rounds, d.name)
			failures[i] = b.deployOnce(ctx, d, &results[i], round < 0)
			if ctx.Err() != nil {
				return nil, context.Cause(ctx)
			}
		}
	}
	t := table{
		caption: "Seconds.", text: 2,
		head: []string{"command", "deployment", "min", "median", "max", "times", "files uploaded"},
	}
	for i, d := range all {
		if failures[i] != nil {
			t.fail(failures[i], d.name, none)
			continue
		}
		for j, name := range []string{"first", "unchanged"} {
			s := results[i].took[j]
			t.add(d.kind, d.name, name, seconds(s.quantile(0)), seconds(s.median()), seconds(s.quantile(1)), strconv.Itoa(len(s)), strconv.Itoa(results[i].uploads[j]))
		}
	}
	return []table{t}, nil
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.2f", d.Seconds()) }

// deployOnce deploys twice to a platform of its own: to be timed, or through a
// proxy to count uploads.
func (b *bench) deployOnce(ctx context.Context, d deployer, r *deployed, count bool) error {
	p, err := b.up(ctx)
	if err != nil {
		return err
	}
	defer p.stop()
	dir, err := b.project("nextjs")
	if err != nil {
		return err
	}
	api := "http://" + p.addr
	var uploads atomic.Int64
	if count {
		proxy := countUploads(p.addr, &uploads)
		defer proxy.Close()
		api = proxy.URL
	}
	if err := d.prepare(ctx, p, dir, api); err != nil {
		return err
	}
	for i := range r.took {
		if err := p.waitIdle(ctx); err != nil {
			return err
		}
		if err := b.machine.quiet(ctx); err != nil {
			return err
		}
		uploads.Store(0)
		began := time.Now()
		if err := d.deploy(ctx, p, dir, api); err != nil {
			return err
		}
		if count {
			r.uploads[i] = int(uploads.Load())
		} else {
			r.took[i] = append(r.took[i], time.Since(began))
		}
	}
	return nil
}

// countUploads is a proxy in front of a platform that counts uploaded files.
func countUploads(addr string, uploads *atomic.Int64) *httptest.Server {
	proxy := &httputil.ReverseProxy{FlushInterval: -1, Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(&url.URL{Scheme: "http", Host: addr})
	}}
	return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost && r.URL.Path == "/v2/files" {
			uploads.Add(1)
		}
		proxy.ServeHTTP(w, r)
	}))
}
