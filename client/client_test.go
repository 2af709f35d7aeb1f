package client_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/client"
	"github.com/lateen-dev/lateen/internal/api/apitest"
	"github.com/lateen-dev/lateen/internal/control/controltest"
)

// connect starts a platform and returns a client of its owner.
func connect(t *testing.T) (*apitest.Server, *client.Client) {
	t.Helper()
	s := apitest.New(t)
	return s, &client.Client{BaseURL: s.URL, Token: s.Token}
}

func uploads(calls []apitest.Call) int {
	n := 0
	for _, call := range calls {
		if call.Path == "/v2/files" {
			n++
		}
	}
	return n
}

// built returns a directory with a small build output.
func built(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	controltest.Output(t, dir, "preview")
	return dir
}

func write(t *testing.T, dir, name, text string) {
	t.Helper()
	path := filepath.Join(dir, filepath.FromSlash(name))
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
		t.Fatal(err)
	}
}

func TestDeploy(t *testing.T) {
	s, c := connect(t)
	dir := built(t)
	var stages []client.Stage
	var log []string
	d, err := c.Deploy(t.Context(), client.DeployOptions{Dir: dir, Project: "shop", Meta: map[string]string{"color": "teal"}, Progress: func(p client.Progress) {
		if len(stages) == 0 || stages[len(stages)-1] != p.Stage {
			stages = append(stages, p.Stage)
		}
		if p.Event != nil {
			log = append(log, p.Event.Text)
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	if d.State != lateen.Ready || d.Environment() != "production" || d.Meta["color"] != "teal" || d.SiteURL != "http://"+d.Host {
		t.Errorf("the deployment is %+v", d)
	}
	if diff := cmp.Diff([]string{"shop.localhost", "shop-team.localhost"}, d.Alias); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]client.Stage{client.Hashing, client.Uploading, client.Building, client.Done}, stages); diff != "" {
		t.Error(diff)
	}
	if !strings.Contains(strings.Join(log, "\n"), "build output") {
		t.Errorf("the build log is %q", log)
	}
	if n := uploads(s.Calls()); n != len(controltest.Files("")) {
		t.Errorf("%d files were uploaded", n)
	}
	write(t, dir, ".vercel/output/static/index.html", "another page")
	if _, err := c.Deploy(t.Context(), client.DeployOptions{Dir: dir, Project: "shop"}); err != nil {
		t.Fatal(err)
	}
	if n := uploads(s.Calls()); n != 1 {
		t.Errorf("%d files were uploaded after one changed", n)
	}
	if _, err := c.Deploy(t.Context(), client.DeployOptions{Dir: dir, Project: "shop"}); err != nil {
		t.Fatal(err)
	}
	if n := uploads(s.Calls()); n != 0 {
		t.Errorf("%d files were uploaded when nothing changed", n)
	}
}

// A function's files may be elsewhere in the project, and paths may share one
// function by a link.
func TestDeployTakesMappedFilesAndLinks(t *testing.T) {
	_, c := connect(t)
	dir := built(t)
	write(t, dir, "node_modules/lib/index.js", "module.exports = 1\n")
	write(t, dir, ".vercel/output/functions/page.func/.vc-config.json",
		`{"runtime":"nodejs22.x","handler":"index.js","launcherType":"Nodejs","filePathMap":{"index.js":"node_modules/lib/index.js"}}`)
	if err := os.Symlink("page.func", filepath.Join(dir, ".vercel", "output", "functions", "twin.func")); err != nil {
		t.Fatal(err)
	}
	d, err := c.Deploy(t.Context(), client.DeployOptions{Dir: dir, Project: "shop"})
	if err != nil {
		t.Fatal(err)
	}
	outputs, err := c.Outputs(t.Context(), string(d.ID))
	if err != nil {
		t.Fatal(err)
	}
	var lambdas []string
	for _, o := range outputs {
		if o.Lambda != nil {
			lambdas = append(lambdas, o.Path)
		}
	}
	if diff := cmp.Diff([]string{"api/hello", "page", "twin"}, lambdas); diff != "" {
		t.Error(diff)
	}
}

func TestDeployOfARootDirectory(t *testing.T) {
	_, c := connect(t)
	dir := t.TempDir()
	controltest.Output(t, filepath.Join(dir, "apps", "web"), "preview")
	write(t, dir, "lib/shared.js", "module.exports = 1\n")
	write(t, dir, "apps/web/.vercel/output/functions/page.func/.vc-config.json",
		`{"runtime":"nodejs22.x","handler":"index.js","filePathMap":{"index.js":"lib/shared.js"}}`)
	d, err := c.Deploy(t.Context(), client.DeployOptions{Dir: dir, Root: "apps/web", Project: "web"})
	if err != nil || d.State != lateen.Ready {
		t.Errorf("%+v, %v", d, err)
	}
}

func TestDeployRefuses(t *testing.T) {
	_, c := connect(t)
	dir := built(t)
	config := ".vercel/output/functions/api/hello.func/.vc-config.json"
	for name, tt := range map[string]struct {
		path, text string
		want       error
	}{
		"a map out of the project":  {config, `{"filePathMap":{"a":"../../etc/passwd"}}`, client.ErrMapped},
		"a map to an absolute path": {config, `{"filePathMap":{"a":"/etc/passwd"}}`, client.ErrMapped},
		"a map to nothing":          {config, `{"filePathMap":{"a":"nowhere.js"}}`, client.ErrMapped},
		"a map that is none":        {config, `{"filePathMap":7}`, client.ErrMapped},
	} {
		write(t, dir, tt.path, tt.text)
		if _, err := c.Deploy(t.Context(), client.DeployOptions{Dir: dir, Project: "shop"}); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	write(t, dir, config, `{"runtime":"nodejs24.x","handler":"index.js"}`)
	if err := syscall.Mkfifo(filepath.Join(dir, ".vercel/output/static/pipe"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Deploy(t.Context(), client.DeployOptions{Dir: dir, Project: "shop"}); !errors.Is(err, client.ErrIrregular) {
		t.Errorf("a pipe: %v", err)
	}
	if _, err := c.Deploy(t.Context(), client.DeployOptions{Dir: t.TempDir(), Project: "shop"}); !errors.Is(err, client.ErrNotBuilt) {
		t.Errorf("an empty directory: %v", err)
	}
}

// A deployment that the platform can't assemble is an error that says why.
func TestDeployReportsTheReasonOfAFailure(t *testing.T) {
	_, c := connect(t)
	dir := built(t)
	write(t, dir, ".vercel/output/config.json", `{"version":2}`)
	d, err := c.Deploy(t.Context(), client.DeployOptions{Dir: dir, Project: "shop"})
	if lateen.CodeOf(err) != lateen.Faulted || !errors.Is(err, lateen.ErrBuildOutputVersion) || d == nil || d.State != lateen.Failed {
		t.Errorf("%+v, %v", d, err)
	}
}

// A deployment that was interrupted goes on where it was.
func TestDeployGoesOnAfterAnInterruption(t *testing.T) {
	s, c := connect(t)
	dir := built(t)
	for i := range 30 {
		write(t, dir, ".vercel/output/static/"+strings.Repeat("x", i+1)+".txt", strings.Repeat("y", i+1))
	}
	ctx, cancel := context.WithCancel(t.Context())
	_, err := c.Deploy(ctx, client.DeployOptions{Dir: dir, Project: "shop", Uploads: 2, Progress: func(p client.Progress) {
		if p.Stage == client.Uploading && p.Files == 10 {
			cancel()
		}
	}})
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("the error is %v", err)
	}
	first := uploads(s.Calls())
	if _, err := c.Deploy(t.Context(), client.DeployOptions{Dir: dir, Project: "shop"}); err != nil {
		t.Fatal(err)
	}
	second := uploads(s.Calls())
	// The two in flight when it was interrupted may count here, there or twice.
	if all := 30 + len(controltest.Files("")); first < 10 || second > all-first+2 {
		t.Errorf("%d files were uploaded, then %d of %d", first, second, all)
	}
}

// A file that changes under the hand is noticed, not deployed half.
func TestDeployNoticesAFileThatChanges(t *testing.T) {
	_, c := connect(t)
	dir := built(t)
	_, err := c.Deploy(t.Context(), client.DeployOptions{Dir: dir, Project: "shop", Progress: func(p client.Progress) {
		if p.Stage == client.Hashing && p.Files == p.TotalFiles {
			write(t, dir, ".vercel/output/static/index.html", "changed since it was hashed, and grown a good deal longer")
		}
	}})
	if !errors.Is(err, client.ErrChanged) {
		t.Errorf("the error is %v", err)
	}
}

func TestStagingAndTargets(t *testing.T) {
	s, c := connect(t)
	dir := built(t)
	ctx := t.Context()
	first, err := c.Deploy(ctx, client.DeployOptions{Dir: dir, Project: "shop"})
	if err != nil {
		t.Fatal(err)
	}
	controltest.Output(t, dir, "production")
	staged, err := c.Deploy(ctx, client.DeployOptions{Dir: dir, Project: "shop", Target: "production", SkipHosts: true})
	if err != nil || len(staged.Alias) != 0 {
		t.Fatalf("%+v, %v", staged, err)
	}
	if _, err := c.Promote(ctx, "shop", string(staged.ID)); err != nil {
		t.Fatal(err)
	}
	if got := s.Traffic.Hosts()["shop.localhost"]; got != staged.ID {
		t.Errorf("production leads to %s", got)
	}
	if _, err := c.Rollback(ctx, "shop", first.Host); err != nil {
		t.Fatal(err)
	}
	controltest.Output(t, dir, "staging")
	custom, err := c.Deploy(ctx, client.DeployOptions{Dir: dir, Project: "shop", Target: "staging"})
	if err != nil || custom.Environment() != "staging" {
		t.Fatalf("%+v, %v", custom, err)
	}
	again, err := c.Redeploy(ctx, custom.Host, "")
	if err != nil || again.Environment() != "staging" {
		t.Fatalf("%+v, %v", again, err)
	}
	promoted, err := c.Promote(ctx, "shop", string(custom.ID))
	if err != nil || promoted.ID == custom.ID {
		t.Fatalf("%+v, %v", promoted, err)
	}
	promoted, err = c.Await(ctx, promoted, func(client.Progress) {})
	if err != nil || s.Traffic.Hosts()["shop.localhost"] != promoted.ID {
		t.Errorf("%+v, %v", promoted, err)
	}
	page, next, err := c.Deployments(ctx, client.DeploymentFilter{Project: first.Project}, client.Page{Limit: 2})
	if err != nil || len(page) != 2 || next == 0 {
		t.Fatalf("%d deployments, next %d, %v", len(page), next, err)
	}
	rest, next, err := c.Deployments(ctx, client.DeploymentFilter{Project: first.Project}, client.Page{Until: next})
	if err != nil || len(rest) != 3 || next != 0 || rest[2].ID != first.ID {
		t.Errorf("%d deployments, next %d, %v", len(rest), next, err)
	}
	if err := c.DeleteDeployment(ctx, string(promoted.ID), true); !errors.Is(err, lateen.ErrDeploymentAliased) {
		t.Errorf("the error is %v", err)
	}
	if err := c.DeleteDeployment(ctx, custom.Host, true); err != nil {
		t.Error(err)
	}
	if _, err := c.CancelDeployment(ctx, string(first.ID)); !errors.Is(err, lateen.ErrDeploymentFinal) {
		t.Errorf("the error is %v", err)
	}
}

func TestTheClientManagesTheResourcesOfAPlatform(t *testing.T) {
	_, c := connect(t)
	ctx := t.Context()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	user, err := c.WhoAmI(ctx)
	must(err)
	teams, err := c.Teams(ctx)
	must(err)
	if user.Username != "owner" || len(teams) != 1 || teams[0].ID != user.DefaultTeam || teams[0].Membership.Role != lateen.Owner {
		t.Errorf("%+v in %+v", user, teams)
	}
	p, err := c.CreateProject(ctx, "shop", lateen.ProjectSettings{Framework: new("astro")})
	must(err)
	_, err = c.RenameProject(ctx, string(p.ID), "store")
	must(err)
	projects, _, err := c.Projects(ctx, "STO", client.Page{})
	must(err)
	if len(projects) != 1 || *projects[0].Framework != "astro" {
		t.Errorf("%+v", projects)
	}
	v, err := c.AddEnv(ctx, "store", lateen.EnvVar{Key: "KEY", Value: "1", Type: "encrypted", Target: []lateen.Environment{"preview", "qa"}}, false)
	must(err)
	if _, err := c.AddEnv(ctx, "store", lateen.EnvVar{Key: "KEY", Value: "2", Type: "encrypted", Target: []lateen.Environment{"qa"}}, false); !errors.Is(err, lateen.ErrEnvTaken) {
		t.Errorf("the error is %v", err)
	}
	changed, err := c.UpdateEnv(ctx, "store", v.ID, client.EnvChange{Value: new("3"), Target: []lateen.Environment{"production", "qa"}})
	must(err)
	if diff := cmp.Diff([]lateen.Environment{"production", "qa"}, changed.Target); diff != "" || changed.Value != "" {
		t.Errorf("%+v", changed)
	}
	vars, err := c.EnvVars(ctx, "store", "")
	must(err)
	if len(vars) != 1 || len(vars[0].Target) != 2 {
		t.Errorf("%+v", vars)
	}
	values, err := c.PullEnv(ctx, "store", "production", "")
	must(err)
	if values["KEY"] != "3" {
		t.Errorf("%v", values)
	}
	must(c.RemoveEnv(ctx, "store", v.ID))
	d, err := c.Deploy(ctx, client.DeployOptions{Dir: built(t), Project: "store"})
	must(err)
	alias, err := c.SetAlias(ctx, string(d.ID), "sale", "")
	must(err)
	if alias.Host != "sale.localhost" || alias.SiteURL != "http://sale.localhost" {
		t.Errorf("%+v", alias)
	}
	aliases, _, err := c.Aliases(ctx, p.ID, client.Page{})
	must(err)
	if len(aliases) != 3 || aliases[0].Target.Host != d.Host {
		t.Errorf("%+v", aliases)
	}
	must(c.RemoveAlias(ctx, "sale.localhost"))
	got, err := c.Project(ctx, "store")
	must(err)
	if got.Targets["production"].ID != d.ID || got.Crons.Definitions[0].Path != "/api/hello" {
		t.Errorf("%+v", got)
	}
	secret, _, err := c.CreateToken(ctx, client.TokenRequest{Name: "laptop"})
	must(err)
	laptop := &client.Client{BaseURL: c.BaseURL + "/", Token: secret, Team: "team"}
	_, err = laptop.Project(ctx, "store")
	must(err)
	must(laptop.RevokeToken(ctx, "current"))
	if _, err := laptop.WhoAmI(ctx); !errors.Is(err, lateen.ErrTokenInvalid) || lateen.CodeOf(err) != lateen.Unauthenticated {
		t.Errorf("the error is %v", err)
	}
	must(c.DeleteProject(ctx, "store"))
	_, err = c.Project(ctx, "store")
	e, ok := errors.AsType[*lateen.Error](err)
	if !ok || !errors.Is(err, lateen.ErrProjectNotFound) || e.Hint == "" || e.Message == "" {
		t.Errorf("the error is %+v", err)
	}
}

func TestLogs(t *testing.T) {
	s, c := connect(t)
	d, err := c.Deploy(t.Context(), client.DeployOptions{Dir: built(t), Project: "shop"})
	if err != nil {
		t.Fatal(err)
	}
	request := func(text string) {
		now := time.Now()
		id := lateen.NewID[lateen.RequestID]("req_", now)
		s.Logs.Log(lateen.LogLine{Time: lateen.MillisOf(now), Request: id, Project: d.Project, Deployment: d.ID, Level: lateen.LevelError, Source: "function", Text: text})
		s.Logs.Record(lateen.Record{ID: id, Time: lateen.MillisOf(now), Project: d.Project, Deployment: d.ID, Method: "GET", Path: "/x", Status: 500, Kind: "function"})
	}
	var stop sync.WaitGroup
	done := make(chan struct{})
	stop.Go(func() {
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				request("something broke")
			case <-done:
				return
			}
		}
	})
	for e, err := range c.FollowEntries(t.Context(), client.LogQuery{Project: d.Project, Deployment: d.ID}) {
		if err != nil || e.Lines[0].Text != "something broke" || e.Lines[0].Level != lateen.LevelError || e.Status != 500 || e.Path != "/x" {
			t.Errorf("%+v, %v", e, err)
		}
		break
	}
	close(done)
	stop.Wait()
	entries, _, err := c.Logs(t.Context(), client.LogQuery{Project: d.Project, Levels: []string{"error"}, Status: "5xx", Search: "broke"})
	if err != nil || len(entries) == 0 || entries[0].Lines[0].Message != "something broke" {
		t.Errorf("%+v, %v", entries, err)
	}
	none, _, err := c.Logs(t.Context(), client.LogQuery{Project: d.Project, Search: "nobody said that"})
	if err != nil || len(none) != 0 {
		t.Errorf("%+v, %v", none, err)
	}
}

// stub is a transport that answers by itself.
type stub func(*http.Request) (*http.Response, error)

func (s stub) RoundTrip(r *http.Request) (*http.Response, error) { return s(r) }

func answer(status int, body string) *http.Response {
	recorder := httptest.NewRecorder()
	recorder.WriteHeader(status)
	_, _ = io.WriteString(recorder, body)
	return recorder.Result()
}

// Idempotent calls are retried for a while, with pauses; a call that must not happen
// twice is repeated only when the platform refused it.
func TestCallsAreRepeated(t *testing.T) {
	for name, tt := range map[string]struct {
		answers []int // statuses, 0 for a lost connection
		once    bool
		want    int // calls
		ok      bool
	}{
		"reading over a bad time":    {[]int{503, 0, 500, 200}, false, 4, true},
		"reading, in vain":           {[]int{502, 502, 502, 502, 200}, false, 4, false},
		"reading what is not there":  {[]int{404, 200}, false, 1, false},
		"creating while it is busy":  {[]int{503, 429, 200}, true, 3, true},
		"creating, connection lost":  {[]int{0, 200}, true, 1, false},
		"creating, a fault in there": {[]int{500, 200}, true, 1, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var calls atomic.Int32
				c := &client.Client{BaseURL: "http://platform", HTTP: &http.Client{Transport: stub(func(r *http.Request) (*http.Response, error) {
					status := tt.answers[calls.Add(1)-1]
					if status == 0 {
						return nil, io.ErrUnexpectedEOF
					}
					resp := answer(status, `{"error":{"code":"x","class":"unavailable","message":"x"}}`)
					resp.Request = r
					return resp, nil
				})}}
				var err error
				if tt.once {
					_, err = c.CreateProject(t.Context(), "x", lateen.ProjectSettings{})
				} else {
					_, err = c.WhoAmI(t.Context())
				}
				if int(calls.Load()) != tt.want || (err == nil) != tt.ok {
					t.Errorf("%d calls, want %d; %v", calls.Load(), tt.want, err)
				}
			})
		})
	}
}

func TestAResponseThatIsNotOfThePlatformIsAnError(t *testing.T) {
	for name, body := range map[string]string{"a page": "<html>nginx</html>", "other JSON": `{"ok":true}`, "nothing": ""} {
		c := &client.Client{BaseURL: "http://platform", HTTP: &http.Client{Transport: stub(func(r *http.Request) (*http.Response, error) {
			resp := answer(404, body)
			resp.Request = r
			return resp, nil
		})}}
		if _, err := c.WhoAmI(t.Context()); !errors.Is(err, client.ErrResponse) {
			t.Errorf("%s: %v", name, err)
		}
	}
	c := &client.Client{BaseURL: "http://platform", HTTP: &http.Client{Transport: stub(func(r *http.Request) (*http.Response, error) {
		resp := answer(413, "<html>nginx</html>")
		resp.Request = r
		return resp, nil
	})}}
	_, err := c.WhoAmI(t.Context())
	if e, _ := errors.AsType[*lateen.Error](err); !errors.Is(err, client.ErrResponse) || !strings.Contains(e.Hint, "client_max_body_size") {
		t.Errorf("of a proxy's limit on bodies: %v", err)
	}
	for _, base := range []string{"", "platform", "http://", "::"} {
		c := &client.Client{BaseURL: base}
		if _, err := c.WhoAmI(t.Context()); lateen.CodeOf(err) != lateen.Invalid {
			t.Errorf("%q: %v", base, err)
		}
	}
}

func TestAnUnreachablePlatformIsReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &client.Client{BaseURL: "http://platform", HTTP: &http.Client{Transport: stub(func(*http.Request) (*http.Response, error) {
			return nil, errors.New("connection refused")
		})}}
		_, err := c.WhoAmI(t.Context())
		e, ok := errors.AsType[*lateen.Error](err)
		if !ok || !errors.Is(err, client.ErrUnreachable) || !strings.Contains(e.Message, "http://platform") || e.Hint == "" {
			t.Errorf("the error is %v", err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if _, err := c.WhoAmI(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the error is %v", err)
		}
	})
}

// Each reason for which a platform cannot be asked is told apart from the others.
func TestErrorsDistinguishTheReasonsOfAnUnreachablePlatform(t *testing.T) {
	t.Parallel()
	secured := httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(secured.Close)
	secured.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	plain := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(plain.Close)
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	for base, want := range map[string]struct{ message, hint string }{
		"http://no-such-host.invalid": {"the name no-such-host.invalid does not resolve", "create a DNS record that points no-such-host.invalid at the platform"},
		secured.URL:                   {"the certificate of " + secured.URL + " is not trusted", "SSL_CERT_FILE"},
		"https" + strings.TrimPrefix(plain.URL, "http"): {"answers without TLS", "http://"},
		gone.URL: {"nothing answers at " + gone.URL, "lateen up"},
	} {
		c := client.Client{BaseURL: base, Token: "ltn_x"}
		_, err := c.WhoAmI(t.Context())
		e, ok := errors.AsType[*lateen.Error](err)
		if !ok || !errors.Is(err, client.ErrUnreachable) || !strings.Contains(e.Message, want.message) || !strings.Contains(e.Hint, want.hint) {
			t.Errorf("%s: %v, hint %q; want %q and %q", base, err, e.Hint, want.message, want.hint)
		}
	}
}
