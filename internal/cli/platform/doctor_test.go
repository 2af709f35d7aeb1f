package platform_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/cli"
	"github.com/lateen-dev/lateen/internal/cli/platform"
	"github.com/lateen-dev/lateen/internal/config"
)

// doctor runs the command with these findings.
func doctor(t *testing.T, found lateen.Examination, err error, args ...string) (code int, out, errs string, asked *config.Config) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	home := t.TempDir()
	code = cli.Run(t.Context(), cli.State{
		Args: append([]string{"doctor"}, args...), Dir: home, Env: []string{"HOME=" + home, "LATEEN_QUEUE=8"}, Stdout: &stdout, Stderr: &stderr,
		Daemon: platform.Daemon{Examine: func(_ context.Context, c *config.Config) (lateen.Examination, error) {
			asked = c
			return found, err
		}},
	})
	if asked != nil && strings.HasPrefix(asked.Data, home) {
		asked.Data, _ = filepath.Rel(home, asked.Data)
	}
	return code, stdout.String(), stderr.String(), asked
}

func TestVariablesThatAreNoSettingAreReported(t *testing.T) {
	var stdout, stderr bytes.Buffer
	home := t.TempDir()
	code := cli.Run(t.Context(), cli.State{
		Args: []string{"doctor"}, Dir: home, Env: []string{"HOME=" + home, "LATEEN_LISTN=:80", "LATEEN_ZZZZZZ=1"}, Stdout: &stdout, Stderr: &stderr,
		Daemon: platform.Daemon{Examine: func(context.Context, *config.Config) (lateen.Examination, error) { return examined(lateen.Fit), nil }},
	})
	for _, want := range []string{"LATEEN_LISTN is not a setting and is ignored. Did you mean LATEEN_LISTEN?", "LATEEN_ZZZZZZ is not a setting and is ignored."} {
		if code != 0 || !strings.Contains(stderr.String(), want) {
			t.Errorf("lateen doctor exits with %d and prints %q, without %q", code, stderr.String(), want)
		}
	}
}

func examined(host lateen.Verdict) lateen.Examination {
	return lateen.Examination{
		Layers: []lateen.Finding{
			{Name: "a root of its own", Purpose: "seeing others' files", Verdict: lateen.Fit},
			{Name: "a bound on memory", Purpose: "taking memory", Verdict: lateen.Lacking, Detail: "no permission", Remedy: "start Lateen as root"},
		},
		Host: []lateen.Finding{{Name: "address", Purpose: "takes requests", Verdict: host, Detail: "127.0.0.1:1 is\x1b[2J in use", Remedy: "choose another"}},
	}
}

func TestDoctorTellsWhatStandsAndWhatToDo(t *testing.T) {
	t.Parallel()
	code, out, errs, asked := doctor(t, examined(lateen.Unfit), nil, "--listen", "127.0.0.1:1", "--data", "kept")
	const want = `
Sandbox layers

    layer               prevents
  ✓ a root of its own   seeing others' files
  ! a bound on memory   taking memory
                        Missing: no permission
                        → Start Lateen as root

This host

  ✗ address   127.0.0.1:1 is in use
              → Choose another
`
	if diff := cmp.Diff(want, out); diff != "" || code != 1 || !strings.Contains(errs, "Error: the host does not meet 1 requirement") {
		t.Errorf("exit code %d, %s\n%s", code, errs, diff)
	}
	if asked.Listen != "127.0.0.1:1" || asked.Data != "kept" || asked.Queue != 8 {
		t.Errorf("it looks with the settings %+v", asked)
	}
}

func TestDoctorSaysThatItExaminedTheDefaults(t *testing.T) {
	t.Parallel()
	_, _, errs, asked := doctor(t, examined(lateen.Fit), nil)
	for _, want := range []string{asked.Data + ")", "address (127.0.0.1:8080)", "domain (localhost)", "pass the flags of its `lateen up`"} {
		if !strings.Contains(errs, want) {
			t.Errorf("it does not say %s:\n%s", want, errs)
		}
	}
	for _, args := range [][]string{{"--data", "kept"}, {"--listen", ":443"}, {"--domain", "example.com"}, {"--json"}} {
		if _, _, errs, _ := doctor(t, examined(lateen.Fit), nil, args...); errs != "" {
			t.Errorf("doctor %v printed %s", args, errs)
		}
	}
}

func TestDoctorIsContentWithWhatIsNotEssential(t *testing.T) {
	t.Parallel()
	if code, _, errs, _ := doctor(t, examined(lateen.Lacking), nil, "--data", "kept"); code != 0 || errs != "" {
		t.Errorf("exit code %d, %s", code, errs)
	}
	boom := errors.New("the sandbox cannot be tried")
	if code, _, errs, _ := doctor(t, lateen.Examination{}, boom); code != 1 || !strings.Contains(errs, boom.Error()) {
		t.Errorf("exit code %d, %s", code, errs)
	}
	if code, _, errs, _ := doctor(t, examined(lateen.Fit), nil, "--queue", "long"); code != 2 || !strings.Contains(errs, "--queue") {
		t.Errorf("exit code %d, %s", code, errs)
	}
}

func TestDoctorTellsProgramsInJSON(t *testing.T) {
	t.Parallel()
	for verdict, exit := range map[lateen.Verdict]int{lateen.Fit: 0, lateen.Lacking: 0, lateen.Unfit: 1} {
		code, out, _, _ := doctor(t, examined(verdict), nil, "--json")
		var got struct {
			lateen.Examination

			Fit bool `json:"fit"`
		}
		if err := json.Unmarshal([]byte(out), &got); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(examined(verdict), got.Examination); diff != "" || got.Fit != (exit == 0) || code != exit {
			t.Errorf("%s: exit code %d, fit %v\n%s", verdict, code, got.Fit, diff)
		}
	}
}

// scrubbed runs `lateen doctor --scrub` where this is the result.
func scrubbed(t *testing.T, found lateen.Scrub, err error, args ...string) (code int, out, errs string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	home := t.TempDir()
	code = cli.Run(t.Context(), cli.State{
		Args: append([]string{"doctor", "--scrub"}, args...), Dir: home, Env: []string{"HOME=" + home}, Stdout: &stdout, Stderr: &stderr,
		Daemon: platform.Daemon{Scrub: func(_ context.Context, _ *config.Config, progress func(done, total int64)) (lateen.Scrub, error) {
			progress(1, 2)
			return found, err
		}},
	})
	return code, stdout.String(), stderr.String()
}

func TestScrubNamesDeploymentsAndHostsAndFails(t *testing.T) {
	t.Parallel()
	digest := lateen.DigestOf([]byte("page"))
	found := lateen.Scrub{Artifacts: 7, Bytes: 1200, Damaged: []lateen.Damage{{
		Digest: digest, Detail: "artifact is damaged\x1b[2J", File: "/data/artifacts/file",
		Deployments: []lateen.DamageVictim{{ID: "dpl_1", Project: "shop", Hosts: []string{"shop.example.com", "www.example.com"}}},
	}, {Digest: digest, Detail: "artifact is missing", File: "/data/artifacts/other"}}}
	code, out, errs := scrubbed(t, found, nil)
	const want = `✗ artifact is damaged
  /data/artifacts/file
    dpl_1  shop  shop.example.com www.example.com
✗ artifact is missing
  /data/artifacts/other
    not used by any deployment
`
	if diff := cmp.Diff(want, out); diff != "" || code != 1 || !strings.Contains(errs, "2 artifacts damaged or missing") || !strings.Contains(errs, "install -m 444") {
		t.Errorf("exit code %d, %s\n%s", code, errs, diff)
	}
	code, out, _ = scrubbed(t, found, nil, "--json")
	var got lateen.Scrub
	if err := json.Unmarshal([]byte(out), &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(found, got); diff != "" || code != 1 {
		t.Errorf("exit code %d\n%s", code, diff)
	}
}

func TestScrubOfWholeDataSucceeds(t *testing.T) {
	t.Parallel()
	if code, out, errs := scrubbed(t, lateen.Scrub{Artifacts: 7, Bytes: 1200}, nil); code != 0 || out != "" || !strings.Contains(errs, "Read 7 artifacts, 1.2 kB") {
		t.Errorf("exit code %d, printed %q and %q", code, out, errs)
	}
	if code, _, errs := scrubbed(t, lateen.Scrub{}, errors.New("no such database")); code != 1 || !strings.Contains(errs, "no such database") {
		t.Errorf("exit code %d, %s", code, errs)
	}
}
