package daemon_test

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/client"
)

// unzipped returns the protocol buffer of a profile.
func unzipped(t *testing.T, body string) []byte {
	t.Helper()
	zipped, err := gzip.NewReader(strings.NewReader(body))
	if err != nil {
		t.Fatalf("%v: %.200q", err, body)
	}
	text, err := io.ReadAll(zipped)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestProfilesAreTaken(t *testing.T) {
	d, _ := start(t, settings(t))
	token, _ := d.Token()
	base := "http://" + d.Addr() + "/debug/pprof/"
	for _, name := range []string{"heap", "allocs", "goroutine", "threadcreate", "mutex?seconds=1", "block?seconds=1", "heap?seconds=1", "profile?seconds=1"} {
		status, body := get(t, base+name, token)
		if status != http.StatusOK {
			t.Fatalf("%s: %d %s", name, status, body)
		}
		if profile := unzipped(t, body); !bytes.Contains(profile, []byte("nanoseconds")) && !bytes.Contains(profile, []byte("count")) {
			t.Errorf("%s is no profile: %.200q", name, profile)
		}
	}
	if status, body := get(t, base+"goroutine?debug=2", token); status != http.StatusOK || !strings.Contains(body, "daemon.(*Daemon).Run") {
		t.Errorf("the dump of goroutines: %d %.500s", status, body)
	}
	if status, body := get(t, base+"trace?seconds=1", token); status != http.StatusOK || !strings.Contains(body, "go 1.") {
		t.Errorf("the trace: %d %.100q", status, body)
	}
}

func TestProfilesThatAreNotOfferedAreRefused(t *testing.T) {
	d, _ := start(t, settings(t))
	token, _ := d.Token()
	for target, want := range map[string]int{
		"profile?seconds=61": http.StatusBadRequest, "trace?seconds=0": http.StatusBadRequest, "heap?seconds=long": http.StatusBadRequest,
		"cmdline": http.StatusNotFound, "symbol": http.StatusNotFound, "unknown": http.StatusNotFound,
	} {
		if status, body := get(t, "http://"+d.Addr()+"/debug/pprof/"+target, token); status != want {
			t.Errorf("%s: %d %s, want %d", target, status, body, want)
		}
	}
}

func TestOnlyOwnersOfTheFirstTeamTakeProfiles(t *testing.T) {
	d, _ := start(t, settings(t))
	token, _ := d.Token()
	base := "http://" + d.Addr()
	owner := &client.Client{BaseURL: base, Token: token}
	callers := map[string]string{"no token": "", "an unknown token": "ltn_none"}
	for _, scope := range []lateen.Scope{lateen.ScopeReadOnly, lateen.ScopeDeploy, lateen.ScopeMetrics} {
		secret, _, err := owner.CreateToken(t.Context(), client.TokenRequest{Name: string(scope), Scope: scope})
		if err != nil {
			t.Fatal(err)
		}
		callers["the scope "+string(scope)] = secret
	}
	project, err := owner.CreateProject(t.Context(), "shop", lateen.ProjectSettings{})
	if err != nil {
		t.Fatal(err)
	}
	limited, _, err := owner.CreateToken(t.Context(), client.TokenRequest{Name: "limited", Project: string(project.ID)})
	if err != nil {
		t.Fatal(err)
	}
	callers["a token of a project"] = limited
	if _, err := owner.CreateTeam(t.Context(), "other", ""); err != nil {
		t.Fatal(err)
	}
	callers["a developer of the first team"] = join(t, owner, "team", "dev", lateen.Developer)
	callers["an owner of another team"] = join(t, owner, "other", "stranger", lateen.Owner)
	for caller, secret := range callers {
		if status, body := get(t, base+"/debug/pprof/heap", secret); status != http.StatusForbidden {
			t.Errorf("%s: %d %.100q", caller, status, body)
		}
	}
	if status, body := get(t, base+"/debug/pprof/heap?slug=other", token); status != http.StatusOK {
		t.Errorf("an owner of the first team that acts for another: %d %.200s", status, body)
	}
}

// join invites a person to a team and returns the token of the new user.
func join(t *testing.T, owner *client.Client, team, name string, role lateen.Role) string {
	t.Helper()
	invitation, err := owner.Invite(t.Context(), team, name+"@example.com", role)
	if err != nil {
		t.Fatal(err)
	}
	token, err := (&client.Client{BaseURL: owner.BaseURL}).AcceptInvitation(t.Context(), invitation.Secret, name, "test")
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// A profile that would take longer than the platform has to stop is cut short.
func TestAProfileEndsWhenThePlatformStops(t *testing.T) {
	d, stop := start(t, settings(t))
	token, _ := d.Token()
	base := "http://" + d.Addr() + "/debug/pprof/"
	ended := make(chan error, 1)
	go func() { ended <- longProfile(t, base+"profile?seconds=60", token) }()
	for status := 0; status != http.StatusTooManyRequests; {
		select {
		case err := <-ended:
			t.Fatalf("the profile ended early: %v", err)
		default:
			status, _ = get(t, base+"heap", token)
		}
	}
	stop()
	if err := <-ended; err != nil {
		t.Errorf("the profile in progress: %v", err)
	}
}

// longProfile asks for a profile until it is the one in progress, and reads it.
func longProfile(t *testing.T, target, token string) error {
	for {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, target, nil)
		if err != nil {
			return err
		}
		req.Header.Set("Authorization", "Bearer "+token)
		resp, err := new(http.Client).Do(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if resp.StatusCode == http.StatusTooManyRequests {
			continue
		}
		zipped, err := gzip.NewReader(resp.Body)
		if err != nil {
			return err
		}
		_, err = io.Copy(io.Discard, zipped)
		return err
	}
}

func TestMetricsIncludeTheRuntime(t *testing.T) {
	d, _ := start(t, settings(t))
	token, _ := d.Token()
	_, body := get(t, "http://"+d.Addr()+"/metrics", token)
	for _, name := range []string{
		"go_goroutines ", "go_memstats_heap_inuse_bytes ", "go_gc_duration_seconds_count ", "go_gc_heap_live_bytes ", "go_sched_latencies_seconds_count ",
		"go_sched_pauses_total_gc_seconds_count ", "go_sync_mutex_wait_total_seconds_total ", "go_cpu_classes_gc_total_cpu_seconds_total ",
	} {
		if !strings.Contains(body, "\n"+name) {
			t.Errorf("metrics do not include %s", name)
		}
	}
}
