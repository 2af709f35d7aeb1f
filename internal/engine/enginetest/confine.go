package enginetest

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lateen-dev/lateen"
)

// alive reports whether a process exists and is no zombie.
func alive(pid string) bool {
	stat, err := os.ReadFile("/proc/" + pid + "/stat")
	return err == nil && !strings.Contains(string(stat), ") Z ")
}

func (s *Suite) memory(t *testing.T) {
	for _, target := range []string{"/heap", "/buffers"} {
		t.Run(target, func(t *testing.T) {
			f := s.start(t, "node", "memory.js", func(spec *lateen.FunctionSpec) { spec.Function.Memory = 192 })
			if got := f.get("/"); got.body != "small" {
				t.Fatal(got)
			}
			r := f.wait(f.begin(target))
			fails(t, r.err, lateen.ErrFunctionFailed, "it used more than 192 MiB of memory")
			f.ends()
		})
	}
}

func (s *Suite) files(t *testing.T) {
	type seen struct {
		Before    bool   `json:"before"`
		Cwd       bool   `json:"cwd"`
		Overwrite string `json:"overwrite"`
		Create    string `json:"create"`
		Unlink    string `json:"unlink"`
		Chmod     string `json:"chmod"`
		UID       int    `json:"uid"`
	}
	look := func(t *testing.T) seen {
		t.Helper()
		var got seen
		if err := json.Unmarshal([]byte(s.start(t, "node", "files.js", nil).get("/").body), &got); err != nil {
			t.Fatal(err)
		}
		return got
	}
	first, second := look(t), look(t)
	if first.Before || second.Before {
		t.Error("an instance can read the temporary files of another")
	}
	if !first.Cwd {
		t.Error("the working directory is not the function's directory")
	}
	for what, result := range map[string]string{"overwrite": first.Overwrite, "create": first.Create, "unlink": first.Unlink, "chmod": first.Chmod} {
		if result == "done" {
			t.Errorf("the function could %s in its code", what)
		}
	}
	if os.Geteuid() == 0 && first.UID == 0 {
		t.Error("the function runs as root")
	}
}

func (s *Suite) environment(t *testing.T) {
	t.Setenv("LATEEN_SECRET", "of the platform")
	f := s.start(t, "node", "environment.js", func(spec *lateen.FunctionSpec) {
		spec.Env = map[string]string{"GREETING": "hello", "NODE_ENV": "staging", "ODD": "a=b\nc"}
	})
	var got struct {
		Env  map[string]string `json:"env"`
		Argv int               `json:"argv"`
		FDs  int               `json:"fds"`
		Zone int               `json:"zone"`
	}
	if err := json.Unmarshal([]byte(f.get("/").body), &got); err != nil {
		t.Fatal(err)
	}
	tmp := got.Env["TMPDIR"]
	_, got.Env["PATH"], _ = strings.Cut(got.Env["PATH"], ":") // after the directory of the runtime
	want := map[string]string{
		"GREETING": "hello", "NODE_ENV": "staging", "ODD": "a=b\nc",
		"HOME": tmp, "TMPDIR": tmp, "PATH": "/usr/local/bin:/usr/bin:/bin", "TZ": "UTC", "LANG": "C.UTF-8",
		"AWS_EXECUTION_ENV": "AWS_Lambda_nodejs24.x", "AWS_LAMBDA_FUNCTION_NAME": "/node/environment.js", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "1024",
	}
	if diff := cmp.Diff(want, got.Env); diff != "" {
		t.Errorf("the environment (-want +got):\n%s", diff)
	}
	if got.Argv != 2 || got.Zone != 0 || got.FDs > 40 {
		t.Errorf("%d arguments, %d descriptors, time zone %d", got.Argv, got.FDs, got.Zone)
	}
	t.Run("variables that count only at boot", func(t *testing.T) {
		f := s.start(t, "node", "environment.js", func(spec *lateen.FunctionSpec) {
			spec.Env = map[string]string{"NODE_OPTIONS": "--stack-trace-limit=7"}
		})
		if f.Started().Kind != lateen.StartCold {
			t.Errorf("kind of start: %s, want a new boot", f.Started().Kind)
		}
	})
}
