package control_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/control"
)

func (c *tester) env(key, value, kind string, targets ...lateen.Environment) *lateen.EnvVar {
	c.t.Helper()
	v, err := c.CreateEnv(c.ctx, "shop", lateen.EnvVar{Key: key, Value: value, Type: kind, Target: targets}, false)
	if err != nil {
		c.t.Fatal(err)
	}
	return v
}

func withProject(t *testing.T, change ...func(*control.Options)) *tester {
	t.Helper()
	c := newTester(t, change...)
	if _, err := c.CreateProject(c.ctx, "shop", lateen.ProjectSettings{}); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestEnvValuesAreSealedAtRest(t *testing.T) {
	c := withProject(t)
	v := c.env("KEY", "a secret value", lateen.EnvEncrypted, "production")
	row, err := c.Store.GetEnv(t.Context(), v.Project, v.ID)
	if err != nil || strings.Contains(row.Value, "secret") {
		t.Errorf("the database has %q, %v", row.Value, err)
	}
}

func TestEnvListShowsWhatMayBeRead(t *testing.T) {
	c := withProject(t)
	c.env("PLAIN", "p", lateen.EnvPlain, "production")
	c.env("SEALED", "s", lateen.EnvEncrypted, "preview", "development")
	c.env("HIDDEN", "h", lateen.EnvSensitive, "production")
	for _, tt := range []struct {
		decrypt bool
		want    map[string]string
	}{
		{false, map[string]string{"PLAIN": "p", "SEALED": "", "HIDDEN": ""}},
		{true, map[string]string{"PLAIN": "p", "SEALED": "s", "HIDDEN": ""}},
	} {
		vars, err := c.EnvVars(c.ctx, "shop", control.EnvFilter{Decrypt: tt.decrypt})
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]string{}
		for _, v := range vars {
			got[v.Key] = v.Value
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("decrypt %t: %s", tt.decrypt, diff)
		}
	}
	vars, err := c.EnvVars(c.ctx, "shop", control.EnvFilter{Target: "production"})
	if err != nil || len(vars) != 2 {
		t.Errorf("production has %d, %v", len(vars), err)
	}
}

func TestEnvConflicts(t *testing.T) {
	c := withProject(t)
	first := c.env("KEY", "1", lateen.EnvEncrypted, "production", "preview")
	_, err := c.CreateEnv(c.ctx, "shop", lateen.EnvVar{Key: "KEY", Value: "2", Type: lateen.EnvPlain, Target: []lateen.Environment{"preview"}}, false)
	wants(t, err, lateen.ErrEnvTaken)
	_, err = c.CreateEnv(c.ctx, "shop", lateen.EnvVar{Key: "KEY", Value: "2", Type: lateen.EnvPlain, Target: []lateen.Environment{"preview"}}, true)
	if err != nil {
		t.Fatal(err)
	}
	values := func(target lateen.Environment) string {
		t.Helper()
		env, err := c.PullEnv(c.ctx, "shop", target, "")
		if err != nil {
			t.Fatal(err)
		}
		return env["KEY"]
	}
	if values("production") != "1" || values("preview") != "2" {
		t.Errorf("production has %q, preview %q", values("production"), values("preview"))
	}
	_, err = c.CreateEnv(c.ctx, "shop", lateen.EnvVar{Key: "KEY", Value: "3", Type: lateen.EnvPlain, Target: []lateen.Environment{"production"}}, true)
	if err != nil || values("production") != "3" {
		t.Errorf("production has %q, %v", values("production"), err)
	}
	_, err = c.DeleteEnv(c.ctx, "shop", first.ID)
	wants(t, err, lateen.ErrEnvNotFound)
}

func TestEnvUpdate(t *testing.T) {
	c := withProject(t)
	v := c.env("KEY", "1", lateen.EnvEncrypted, "production", "preview")
	updated, err := c.UpdateEnv(c.ctx, "shop", v.ID, func(v *lateen.EnvVar) error {
		v.Target = []lateen.Environment{"preview"}
		return nil
	})
	if err != nil || updated.Value != "" || len(updated.Target) != 1 {
		t.Errorf("updated is %+v, %v", updated, err)
	}
	hidden := c.env("HIDDEN", "h", lateen.EnvSensitive, "production")
	for name, change := range map[string]func(*lateen.EnvVar){
		"another name": func(v *lateen.EnvVar) { v.Key = "OTHER" },
		"readable":     func(v *lateen.EnvVar) { v.Type = lateen.EnvPlain },
		"development":  func(v *lateen.EnvVar) { v.Target = []lateen.Environment{"development"} },
		"no target":    func(v *lateen.EnvVar) { v.Target = nil },
	} {
		_, err := c.UpdateEnv(c.ctx, "shop", hidden.ID, func(v *lateen.EnvVar) error {
			change(v)
			return nil
		})
		if lateen.CodeOf(err) != lateen.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	replaced, err := c.UpdateEnv(c.ctx, "shop", hidden.ID, func(v *lateen.EnvVar) error {
		v.Value = "another"
		return nil
	})
	if err != nil || replaced.Value != "" {
		t.Errorf("a sensitive value came back: %+v, %v", replaced, err)
	}
}

func TestEnvRefuses(t *testing.T) {
	c := withProject(t)
	for name, v := range map[string]lateen.EnvVar{
		"a malformed name":       {Key: "1KEY", Type: "plain", Target: []lateen.Environment{"production"}},
		"a reserved name":        {Key: "TZ", Type: "plain", Target: []lateen.Environment{"production"}},
		"no target":              {Key: "KEY", Type: "plain"},
		"an invalid target":      {Key: "KEY", Type: "plain", Target: []lateen.Environment{"a,b"}},
		"an unknown type":        {Key: "KEY", Type: "secret", Target: []lateen.Environment{"production"}},
		"a sensitive one in dev": {Key: "KEY", Type: "sensitive", Target: []lateen.Environment{"development"}},
		"a branch of production": {Key: "KEY", Type: "plain", Target: []lateen.Environment{"production"}, GitBranch: "main"},
		"a value with a NUL":     {Key: "KEY", Type: "plain", Target: []lateen.Environment{"production"}, Value: "a\x00b"},
		"a huge value":           {Key: "KEY", Type: "plain", Target: []lateen.Environment{"production"}, Value: strings.Repeat("x", lateen.MaxEnvBytes)},
	} {
		_, err := c.CreateEnv(c.ctx, "shop", v, false)
		if lateen.CodeOf(err) != lateen.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	if vars, err := c.EnvVars(c.ctx, "shop", control.EnvFilter{}); err != nil || len(vars) != 0 {
		t.Errorf("%d variables were stored, %v", len(vars), err)
	}
}

func TestDeploymentsFreezeTheirEnvironment(t *testing.T) {
	c := withProject(t)
	c.Start(t)
	c.env("EVERYWHERE", "1", lateen.EnvEncrypted, "production", "preview")
	branched, err := c.CreateEnv(c.ctx, "shop", lateen.EnvVar{Key: "EVERYWHERE", Value: "branch", Type: "plain", Target: []lateen.Environment{"preview"}, GitBranch: "fix/it"}, false)
	if err != nil {
		t.Fatal(err)
	}
	hidden := c.env("HIDDEN", "h", lateen.EnvSensitive, "preview")
	d := c.deploy("one", "preview", func(r *control.DeployRequest) {
		r.Git = &lateen.GitMetadata{CommitRef: "fix/it", CommitSHA: "abc", RemoteURL: "git@github.com:acme/shop.git"}
		r.Env = map[string]string{"EXTRA": "x", "VERCEL_ENV": "mine"}
	})
	for _, id := range []lateen.EnvID{branched.ID, hidden.ID} {
		if _, err := c.DeleteEnv(c.ctx, "shop", id); err != nil {
			t.Fatal(err)
		}
	}
	site, err := c.Site(t.Context(), d.ID)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"EVERYWHERE": "branch", "HIDDEN": "h", "EXTRA": "x",
		"VERCEL": "1", "VERCEL_ENV": "preview", "VERCEL_TARGET_ENV": "preview", "VERCEL_REGION": "local",
		"VERCEL_URL": d.Host, "VERCEL_DEPLOYMENT_ID": string(d.ID), "VERCEL_PROJECT_ID": string(d.Project),
		"VERCEL_PROJECT_PRODUCTION_URL": "shop.localhost",
		"VERCEL_GIT_COMMIT_REF":         "fix/it", "VERCEL_GIT_COMMIT_SHA": "abc", "VERCEL_GIT_COMMIT_MESSAGE": "",
		"VERCEL_GIT_COMMIT_AUTHOR_NAME": "", "VERCEL_GIT_PULL_REQUEST_ID": "",
		"VERCEL_GIT_PROVIDER": "github", "VERCEL_GIT_REPO_OWNER": "acme", "VERCEL_GIT_REPO_SLUG": "shop",
		"VERCEL_BRANCH_URL": site.Env["VERCEL_BRANCH_URL"],
	}
	if diff := cmp.Diff(want, site.Env); diff != "" {
		t.Error(diff)
	}
	for name := range site.Env {
		if own := strings.HasPrefix(name, "VERCEL"); lateen.SystemEnv(name) != own {
			t.Errorf("%s is a system variable: %t, want %t", name, !own, own)
		}
	}
	c.leads(site.Env["VERCEL_BRANCH_URL"], d)
	if strings.Contains(string(d.Env), "branch") {
		t.Error("the environment is readable in the database")
	}
	pulled, err := c.DeploymentEnv(c.ctx, d.ID)
	if err != nil || pulled["HIDDEN"] != "" || pulled["EXTRA"] != "x" {
		t.Errorf("pulled %v, %v", pulled, err)
	}
}

func TestAnEnvironmentIsBounded(t *testing.T) {
	c := withProject(t)
	for _, key := range []string{"A", "B"} {
		c.env(key, strings.Repeat("x", lateen.MaxEnvBytes/2), lateen.EnvEncrypted, "production")
	}
	_, err := c.Deploy(c.ctx, control.DeployRequest{Project: "shop", Target: "production", Files: inline("one")})
	wants(t, err, lateen.ErrEnvTooLarge)
	_, err = c.Deploy(c.ctx, control.DeployRequest{Project: "shop", Target: "preview", Files: inline("one"), Env: map[string]string{"LD PRELOAD": "x"}})
	wants(t, err, lateen.ErrEnvInvalid)
}

func TestTheVariablesOfAProjectAreBounded(t *testing.T) {
	c := withProject(t)
	vars := make([]lateen.EnvVar, lateen.MaxProjectEnv)
	for i := range vars {
		vars[i] = lateen.EnvVar{Key: fmt.Sprint("KEY_", i), Type: lateen.EnvPlain, Target: []lateen.Environment{"production"}}
	}
	if _, err := c.CreateEnvs(c.ctx, "shop", vars, false); err != nil {
		t.Fatal(err)
	}
	one := lateen.EnvVar{Key: "ONE_MORE", Type: lateen.EnvPlain, Target: []lateen.Environment{"production"}}
	_, err := c.CreateEnv(c.ctx, "shop", one, false)
	wants(t, err, lateen.ErrEnvTooMany)
	one.Key = "KEY_1"
	if _, err := c.CreateEnv(c.ctx, "shop", one, true); err != nil {
		t.Errorf("a variable that takes the place of another: %v", err)
	}
}
