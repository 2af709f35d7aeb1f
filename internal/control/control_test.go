package control_test

import (
	"context"
	"crypto/sha1"
	"encoding/hex"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/control"
	"github.com/lateen-dev/lateen/internal/control/controltest"
)

// gate is a builder that blocks until the test opens it.
type gate struct {
	control.Builder

	began chan struct{} // one element for each assembly that began
	open  chan struct{} // one element lets one assembly go on; closed, all
}

func newGate() *gate { return &gate{began: make(chan struct{}, 100), open: make(chan struct{}, 100)} }

// with makes a platform assemble through the gate.
func (g *gate) with(o *control.Options) { g.Builder, o.Builder = o.Builder, g }

func (g *gate) Assemble(ctx context.Context, src lateen.Source, log func(string)) (lateen.Digest, *lateen.Manifest, error) {
	g.began <- struct{}{}
	select {
	case <-g.open:
	case <-ctx.Done():
		return "", nil, context.Cause(ctx)
	}
	return g.Builder.Assemble(ctx, src, log)
}

// inline returns the files of a build output with text as its page, inline as in a
// request.
func inline(text string) []lateen.UploadFile {
	var files []lateen.UploadFile
	for name, content := range controltest.Files("preview") {
		if name == ".vercel/output/static/index.html" {
			content = text
		}
		if name == ".vercel/output/builds.json" {
			continue
		}
		files = append(files, lateen.UploadFile{Path: name, Mode: 0o100644, Data: content})
	}
	return files
}

func sha(text string) lateen.SHA1 {
	sum := sha1.Sum([]byte(text))
	return lateen.SHA1(hex.EncodeToString(sum[:]))
}

// tester is a platform with its owner as the principal.
type tester struct {
	*controltest.Platform

	t   *testing.T
	ctx context.Context
}

func newTester(t *testing.T, change ...func(*control.Options)) *tester {
	t.Helper()
	t.Parallel()
	p := controltest.New(t, change...)
	return &tester{Platform: p, t: t, ctx: p.As(t, p.Token)}
}

func start(t *testing.T, change ...func(*control.Options)) *tester {
	t.Helper()
	c := newTester(t, change...)
	c.Start(t)
	return c
}

// accept requests a deployment of a page.
func (c *tester) accept(text string, target lateen.Environment, change ...func(*control.DeployRequest)) *lateen.Deployment {
	c.t.Helper()
	r := control.DeployRequest{Project: "shop", Target: target, Files: inline(text), Source: "cli"}
	for _, fn := range change {
		fn(&r)
	}
	d, err := c.Deploy(c.ctx, r)
	if err != nil {
		c.t.Fatal(err)
	}
	return d
}

// await follows a deployment until it ends.
func (c *tester) await(id lateen.DeploymentID) *lateen.Deployment {
	c.t.Helper()
	_, events, err := c.BuildLog(c.ctx, string(id), control.BuildLogFilter{Follow: true})
	if err != nil {
		c.t.Fatal(err)
	}
	for _, err := range events {
		if err != nil {
			c.t.Fatal(err)
		}
	}
	d, err := c.Deployment(c.ctx, string(id))
	if err != nil {
		c.t.Fatal(err)
	}
	return d
}

// deploy deploys a page and waits until it is READY.
func (c *tester) deploy(text string, target lateen.Environment, change ...func(*control.DeployRequest)) *lateen.Deployment {
	c.t.Helper()
	d := c.await(c.accept(text, target, change...).ID)
	if d.State != lateen.Ready || d.AliasedAt == 0 {
		c.t.Fatalf("%s is %s: %s", d.ID, d.State, d.ErrorText)
	}
	return d
}

// leads fails unless a host leads to a deployment; d = nil is nowhere.
func (c *tester) leads(host string, d *lateen.Deployment) {
	c.t.Helper()
	want := lateen.DeploymentID("")
	if d != nil {
		want = d.ID
	}
	if got := c.Traffic.Hosts()[host]; got != want {
		c.t.Errorf("%s leads to %q, want %q", host, got, want)
	}
	stored, err := c.Hosts(c.ctx)
	if err != nil {
		c.t.Fatal(err)
	}
	if got := stored[host].Deployment; got != want {
		c.t.Errorf("after a restart %s leads to %q, want %q", host, got, want)
	}
}

func wants(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("the error is %v, want %v", err, want)
	}
}

func TestASecondBootstrapCreatesNothing(t *testing.T) {
	c := newTester(t)
	if !strings.HasPrefix(c.Token, "ltn_") {
		t.Fatalf("the first token is %q", c.Token)
	}
	account, err := c.WhoAmI(c.ctx)
	if err != nil || len(account.Teams) != 1 || account.Teams[0].Role != lateen.Owner || account.Teams[0].Slug != "team" || account.User.Username != "owner" {
		t.Errorf("the owner is %+v, %v", account, err)
	}
	token, created, err := c.Bootstrap(t.Context())
	if token != "" || created || err != nil {
		t.Errorf("a second time: %q, %t, %v", token, created, err)
	}
	again, err := c.OwnerToken(t.Context())
	if err != nil || again == c.Token {
		t.Fatalf("another token: %q, %v", again, err)
	}
	c.As(t, again)
}

func TestAuthenticate(t *testing.T) {
	c := newTester(t)
	nonmember := c.Member(t, "eve", "other", lateen.Owner)
	for _, tt := range []struct {
		name, token, team string
		want              error
	}{
		{"no token", "", "", lateen.ErrTokenMissing},
		{"an unknown token", "ltn_" + strings.Repeat("a", 40), "", lateen.ErrTokenInvalid},
		{"the hash of a token", hex.EncodeToString(make([]byte, 32)), "", lateen.ErrTokenInvalid},
		{"a missing team", c.Token, "nowhere", lateen.ErrTeamNotFound},
		{"a team of other users", nonmember, "team", lateen.ErrTeamNotFound},
		{"their own team", nonmember, "other", nil},
		{"no team", c.Token, "", nil},
	} {
		_, err := c.Authenticate(t.Context(), tt.token, tt.team)
		if !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
	}
}

func TestRevokedTokensAreRefused(t *testing.T) {
	c := newTester(t)
	secret, token, err := c.CreateToken(c.ctx, control.TokenRequest{Name: "laptop"})
	if err != nil {
		t.Fatal(err)
	}
	laptop := c.As(t, secret)
	if tokens, err := c.Tokens(laptop); err != nil || len(tokens) != 2 {
		t.Errorf("%d tokens, %v", len(tokens), err)
	}
	eve := c.As(t, c.Member(t, "eve", "other", lateen.Owner))
	wants(t, c.RevokeToken(eve, token.ID), lateen.ErrTokenNotFound)
	if err := c.RevokeCurrent(laptop); err != nil {
		t.Fatal(err)
	}
	_, err = c.Authenticate(t.Context(), secret, "")
	wants(t, err, lateen.ErrTokenInvalid)
}

func TestATokenCreatesNoneThatExpiresLater(t *testing.T) {
	c := newTester(t)
	at := func(d time.Duration) lateen.Millis { return lateen.MillisOf(c.Now().Add(d)) }
	secret, _, err := c.CreateToken(c.ctx, control.TokenRequest{Name: "lent", ExpiresAt: at(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	lent := c.As(t, secret)
	for name, expires := range map[string]lateen.Millis{"no expiry": 0, "a minute longer": at(61 * time.Minute)} {
		_, _, err := c.CreateToken(lent, control.TokenRequest{Name: name, Scope: lateen.ScopeReadOnly, ExpiresAt: expires})
		wants(t, err, lateen.ErrTokenSettings)
	}
	if _, _, err := c.CreateToken(lent, control.TokenRequest{Name: "shorter", ExpiresAt: at(time.Minute)}); err != nil {
		t.Error(err)
	}
}

// A user without a membership sees nothing of a team, in spite of any role elsewhere.
func TestUsersOutsideATeamGetNotFoundErrors(t *testing.T) {
	c := start(t)
	d := c.deploy("one", "")
	v, err := c.CreateEnv(c.ctx, "shop", lateen.EnvVar{Key: "KEY", Value: "x", Type: lateen.EnvEncrypted, Target: []lateen.Environment{"production"}}, false)
	if err != nil {
		t.Fatal(err)
	}
	alias, _, err := c.SetAlias(c.ctx, string(d.ID), "www.example.com", "")
	if err != nil {
		t.Fatal(err)
	}
	eve := c.As(t, c.Member(t, "eve", "other", lateen.Owner))
	before := c.Traffic.Hosts()
	for name, call := range map[string]func(project, deployment string) error{
		"Project": func(p, _ string) error { _, err := c.Project(eve, p); return err },
		"UpdateProject": func(p, _ string) error {
			_, err := c.UpdateProject(eve, p, func(*lateen.Project) error { return nil })
			return err
		},
		"DeleteProject": func(p, _ string) error { return c.DeleteProject(eve, p) },
		"Environments":  func(p, _ string) error { _, err := c.Environments(eve, p); return err },
		"EnvVars":       func(p, _ string) error { _, err := c.EnvVars(eve, p, control.EnvFilter{}); return err },
		"CreateEnv": func(p, _ string) error {
			_, err := c.CreateEnv(eve, p, lateen.EnvVar{Key: "K", Type: "plain", Target: []lateen.Environment{"production"}}, true)
			return err
		},
		"UpdateEnv": func(p, _ string) error {
			_, err := c.UpdateEnv(eve, p, v.ID, func(*lateen.EnvVar) error { return nil })
			return err
		},
		"DeleteEnv":        func(p, _ string) error { _, err := c.DeleteEnv(eve, p, v.ID); return err },
		"PullEnv":          func(p, _ string) error { _, err := c.PullEnv(eve, p, "production", ""); return err },
		"DeploymentEnv":    func(_, d string) error { _, err := c.DeploymentEnv(eve, lateen.DeploymentID(d)); return err },
		"Deployment":       func(_, d string) error { _, err := c.Deployment(eve, d); return err },
		"Manifest":         func(_, d string) error { _, _, err := c.Manifest(eve, d); return err },
		"BuildLog":         func(_, d string) error { _, _, err := c.BuildLog(eve, d, control.BuildLogFilter{}); return err },
		"Cancel":           func(_, d string) error { _, err := c.Cancel(eve, d); return err },
		"DeleteDeployment": func(_, d string) error { _, err := c.DeleteDeployment(eve, d, false); return err },
		"Redeploy": func(_, d string) error {
			_, err := c.Deploy(eve, control.DeployRequest{From: lateen.DeploymentID(d)})
			return err
		},
		"SetAlias":    func(_, d string) error { _, _, err := c.SetAlias(eve, d, "evil.example.com", ""); return err },
		"Alias":       func(_, _ string) error { _, err := c.Alias(eve, string(alias.ID)); return err },
		"RemoveAlias": func(_, _ string) error { _, err := c.RemoveAlias(eve, alias.Host); return err },
		"Promote":     func(p, d string) error { _, err := c.Promote(eve, p, d); return err },
		"Rollback":    func(p, d string) error { _, err := c.Rollback(eve, p, d); return err },
		"Team":        func(_, _ string) error { _, err := c.Team(eve, "team"); return err },
	} {
		for _, deployment := range []string{string(d.ID), d.Host, "shop.localhost", "www.example.com"} {
			if name == "Redeploy" || name == "DeploymentEnv" {
				deployment = string(d.ID)
			}
			err := call(string(d.Project), deployment)
			if lateen.CodeOf(err) != lateen.NotFound {
				t.Errorf("%s(%s): %v", name, deployment, err)
			}
		}
	}
	if len(c.Traffic.Hosts()) != len(before) {
		t.Error("a nonmember moved hosts")
	}
}

// A viewer can read but not change.
func TestViewersChangeNothing(t *testing.T) {
	c := start(t)
	d := c.deploy("one", "")
	v, err := c.CreateEnv(c.ctx, "shop", lateen.EnvVar{Key: "KEY", Value: "secret", Type: lateen.EnvEncrypted, Target: []lateen.Environment{"production"}}, false)
	if err != nil {
		t.Fatal(err)
	}
	viewer := c.As(t, c.Member(t, "vic", "team", lateen.Viewer))
	id := string(d.ID)
	for name, err := range map[string]error{
		"CreateProject":    second(c.CreateProject(viewer, "x", lateen.ProjectSettings{})),
		"UpdateProject":    second(c.UpdateProject(viewer, "shop", func(p *lateen.Project) error { p.Name = "y"; return nil })),
		"DeleteProject":    c.DeleteProject(viewer, "shop"),
		"CreateEnv":        second(c.CreateEnv(viewer, "shop", lateen.EnvVar{Key: "K", Type: "plain", Target: []lateen.Environment{"production"}}, true)),
		"UpdateEnv":        second(c.UpdateEnv(viewer, "shop", v.ID, func(v *lateen.EnvVar) error { v.Value = "y"; return nil })),
		"DeleteEnv":        second(c.DeleteEnv(viewer, "shop", v.ID)),
		"PullEnv":          second(c.PullEnv(viewer, "shop", "production", "")),
		"DeploymentEnv":    second(c.DeploymentEnv(viewer, d.ID)),
		"Upload":           c.Upload(viewer, sha("x"), 1, strings.NewReader("x")),
		"Deploy":           second(c.Deploy(viewer, control.DeployRequest{Project: "shop", Files: inline("two")})),
		"Cancel":           second(c.Cancel(viewer, id)),
		"DeleteDeployment": second(c.DeleteDeployment(viewer, id, false)),
		"RemoveAlias":      second(c.RemoveAlias(viewer, "shop.localhost")),
		"Promote":          second(c.Promote(viewer, "shop", id)),
		"Rollback":         second(c.Rollback(viewer, "shop", id)),
	} {
		if !errors.Is(err, lateen.ErrRoleTooLow) {
			t.Errorf("%s: %v", name, err)
		}
	}
	vars, err := c.EnvVars(viewer, "shop", control.EnvFilter{})
	if err != nil || len(vars) != 1 || vars[0].Value != "" {
		t.Errorf("a viewer reads %+v, %v", vars, err)
	}
	if _, err := c.Deployment(viewer, id); err != nil {
		t.Errorf("a viewer can't read a deployment: %v", err)
	}
}

func second[T any](_ T, err error) error { return err }

func TestEveryOperationNeedsAPrincipal(t *testing.T) {
	c := newTester(t)
	_, err := c.Projects(t.Context(), projectFilter())
	wants(t, err, lateen.ErrTokenMissing)
	wants(t, c.Upload(t.Context(), sha("x"), 1, strings.NewReader("x")), lateen.ErrTokenMissing)
	_, err = c.WhoAmI(t.Context())
	wants(t, err, lateen.ErrTokenMissing)
}
