//go:build linux

package sandbox

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) {
	switch os.Getenv("SANDBOX_TEST") {
	case "supervisor":
		superviseUntilKilled()
	case "probe":
		probe()
		return
	case "dial":
		dial()
		return
	}
	os.Exit(m.Run())
}

// run starts a sandbox for a test.
func run(t *testing.T) *Sandbox {
	t.Helper()
	return runWith(t, Options{})
}

func runWith(t *testing.T, o Options) *Sandbox {
	t.Helper()
	s, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.Run(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-done
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// tools are mounts of programs for scripts.
func tools() []Mount { return []Mount{{Host: "/usr/bin", Guest: "/usr/bin"}} }

// shell runs a script in the sandbox and returns its output and its exit.
func shell(t *testing.T, s *Sandbox, spec Spec, script string) (string, Exit) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	spec.Path, spec.Args, spec.Stdout, spec.Stderr = "/bin/sh", []string{"-c", script}, w, w
	spec.Mounts = append(spec.Mounts, tools()...)
	if spec.Env == nil {
		spec.Env = []string{"PATH=/usr/bin"}
	}
	p, err := s.Start(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	w.Close()
	out, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out)), p.Wait()
}

func needMounts(t *testing.T, s *Sandbox) {
	t.Helper()
	if !s.PrivateTmp() {
		t.Skip(s.Missing())
	}
}

func TestEnvironmentAndDescriptorsAreThoseGiven(t *testing.T) {
	s := run(t)
	leak, err := os.Open("/dev/null") // as a careless parent may leave open
	if err != nil {
		t.Fatal(err)
	}
	defer leak.Close()
	if err := unix.Dup2(int(leak.Fd()), 77); err != nil { // without close-on-exec
		t.Fatal(err)
	}
	defer unix.Close(77)
	t.Setenv("SECRET", "of the platform")
	out, _ := shell(t, s, Spec{Env: []string{"A=1"}, Files: []*os.File{leak, leak}}, "echo $A$SECRET; ls /proc/$$/fd")
	if want := "1\n0\n1\n2\n3\n4"; strings.TrimSuffix(out, "\n10") != want { // the shell may keep its script at 10
		t.Errorf("the process sees\n%s\nwant\n%s", out, want)
	}
}

func TestProcessCannotGainPrivileges(t *testing.T) {
	s := run(t)
	out, _ := shell(t, s, Spec{Env: []string{"PATH=/usr/bin:/bin"}}, "id -u; id -G; grep -E 'NoNewPrivs|CapEff|CapPrm|CapAmb' /proc/self/status | tr -d '\\t'")
	lines := strings.Split(out, "\n")
	if os.Geteuid() == 0 && (lines[0] == "0" || lines[1] != lines[0]) {
		t.Errorf("the process runs as user %s in groups %s, want one unprivileged group", lines[0], lines[1])
	}
	for _, want := range []string{"NoNewPrivs:1", "CapPrm:0000000000000000", "CapEff:0000000000000000", "CapAmb:0000000000000000"} {
		if !strings.Contains(out, want) {
			t.Errorf("the status of the process is\n%s\nwant %s", out, want)
		}
	}
}

func TestTwoProcessesAreDifferentUsers(t *testing.T) {
	s := run(t)
	if !s.Identity() {
		t.Skip(s.Missing())
	}
	script := "cat /proc/self/uid_map; grep Uid /proc/self/status"
	first, _ := shell(t, s, Spec{}, script)
	second, _ := shell(t, s, Spec{}, script)
	if first == second {
		t.Errorf("both processes have the user id %s", first)
	}
}

func TestTmpIsPrivateAndBounded(t *testing.T) {
	s := run(t)
	needMounts(t, s)
	host := filepath.Join(os.TempDir(), fmt.Sprintf("sandbox-test-%d", os.Getpid()))
	if err := os.WriteFile(host, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	defer os.Remove(host)
	out, _ := shell(t, s, Spec{TmpBytes: 1 << 20}, "ls -A /tmp; echo x > /tmp/mine; ls /tmp; head -c 2000000 /dev/zero > /tmp/big && echo no bound")
	if !strings.HasPrefix(out, "mine") || strings.Contains(out, "no bound") {
		t.Errorf("the process finds in /tmp: %s", out)
	}
	if out, _ := shell(t, s, Spec{}, "ls -A /tmp"); out != "" {
		t.Errorf("the next process finds %s in its /tmp", out)
	}
}

func TestAllPathsExceptTmpAreReadOnly(t *testing.T) {
	s := run(t)
	needMounts(t, s)
	code := filepath.Join(t.TempDir(), "code")
	if err := os.MkdirAll(code, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(code, "index.js"), []byte("hello"), 0o666); err != nil {
		t.Fatal(err)
	}
	mounts := []Mount{{Host: code, Guest: MountRoot + "/task/code"}, {Host: filepath.Join(code, "index.js"), Guest: MountRoot + "/file.js"}}
	inside := s.Inside(mounts, filepath.Join(code, "index.js"))
	out, _ := shell(t, s, Spec{Mounts: mounts}, fmt.Sprintf(`
		cat %[1]s /var/file.js; echo
		for f in %[1]s %[1]s.new /var/x /dev/x /etc/x /run/x /var/tmp/x /proc/sys/kernel/hostname; do (echo evil > $f) 2>/dev/null && echo "wrote $f"; done
		rm -f %[1]s; ls /var`, inside))
	if want := "hellohello\nfile.js\ntask"; !strings.HasPrefix(out, "hellohello") || strings.Contains(out, "wrote") || !strings.HasSuffix(out, "file.js\ntask") {
		t.Errorf("got\n%s\nwant\n%s", out, want)
	}
	if inside != "/var/task/code/index.js" {
		t.Errorf("the file is at %s inside", inside)
	}
	if other := s.Inside(mounts, code+"-other/x"); other != code+"-other/x" {
		t.Errorf("a file outside of the mounts is at %s", other)
	}
}

func TestMountsUnderTmpAreVisible(t *testing.T) {
	s := run(t)
	needMounts(t, s)
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "f"), []byte("here"), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, _ := shell(t, s, Spec{Mounts: []Mount{{Host: dir, Guest: MountRoot + "/d"}}}, "cat /var/d/f"); out != "here" {
		t.Errorf("got %q", out)
	}
}

func TestLimitsOfOpenFilesAndCoreDumpsApply(t *testing.T) {
	s := run(t)
	out, _ := shell(t, s, Spec{MaxFiles: 64}, "ulimit -Hn; ulimit -Hc")
	if out != "64\n0" {
		t.Errorf("the limits are %q", out)
	}
}

func TestKillEndsAllProcessesOfTheSession(t *testing.T) {
	s := run(t)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	p, err := s.Start(t.Context(), Spec{Path: "/bin/sh", Args: []string{"-c", "sleep 1000 & echo up; wait"}, Env: []string{"PATH=/bin:/usr/bin"}, Mounts: tools(), Stdout: w})
	if err != nil {
		t.Fatal(err)
	}
	w.Close()
	lines := bufio.NewReader(r)
	if line, err := lines.ReadString('\n'); line != "up\n" {
		t.Fatal(line, err)
	}
	if err := p.Kill(); err != nil {
		t.Error(err)
	}
	if _, err := lines.ReadString('\n'); err != io.EOF { // its child holds the pipe, too
		t.Error(err)
	}
	if state := p.Wait(); state.Signal != syscall.SIGKILL {
		t.Error(state)
	}
}

func TestBackgroundPriorityCanBeUndone(t *testing.T) {
	s := run(t)
	if !s.mode.Background {
		t.Skip("this host does not permit raising a priority")
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	in, more, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	script := "nice; read line <&3; nice"
	p, err := s.Start(t.Context(), Spec{Path: "/bin/sh", Args: []string{"-c", script}, Env: []string{"PATH=/bin:/usr/bin"}, Mounts: tools(), Stdout: w, Files: []*os.File{in}, Background: true})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Wait()
	w.Close()
	lines := bufio.NewReader(r)
	before, _ := lines.ReadString('\n')
	if err := p.Foreground(); err != nil {
		t.Error(err)
	}
	more.WriteString("go\n")
	after, _ := lines.ReadString('\n')
	if before != "10\n" || after != "0\n" {
		t.Errorf("the niceness was %q, then %q; want 10, then 0", before, after)
	}
}

// TestAUserIDIsNotGivenToASecondProcessWhileItsFirstRuns starts more processes than
// there are user ids.
func TestAUserIDIsNotGivenToASecondProcessWhileItsFirstRuns(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("a plain user has one id")
	}
	s := runWith(t, Options{FirstUID: 0x70000000, UIDs: 3})
	spec := Spec{Path: "/bin/sh", Args: []string{"-c", "read line"}, Env: []string{"PATH=/bin:/usr/bin"}, Mounts: tools(), Files: nil}
	seen := map[int]bool{}
	var live []*Process
	for range 3 {
		in, hold, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		defer hold.Close()
		spec.Args = []string{"-c", "read line <&3"}
		spec.Files = []*os.File{in}
		p, err := s.Start(t.Context(), spec)
		in.Close()
		if err != nil {
			t.Fatal(err)
		}
		live, seen[p.uid] = append(live, p), true
	}
	if len(seen) != 3 {
		t.Errorf("three processes have the ids %v", seen)
	}
	if p, err := s.Start(t.Context(), spec); err == nil {
		t.Errorf("a fourth process has the id %d", p.uid)
		_ = p.Kill()
		p.Wait()
	}
	freed := live[1].uid
	_ = live[1].Kill()
	live[1].Wait()
	p, err := s.Start(t.Context(), Spec{Path: "/bin/sh", Args: []string{"-c", "exit"}, Env: []string{"PATH=/bin:/usr/bin"}, Mounts: tools()})
	if err != nil || p.uid != freed {
		t.Fatalf("after an end the id is %v, %v, want %d", p, err, freed)
	}
	p.Wait()
	for _, i := range []int{0, 2} {
		_ = live[i].Kill()
		live[i].Wait()
	}
}

func TestAProgramThatCannotBeExecutedIsReported(t *testing.T) {
	s := run(t)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	p, err := s.Start(t.Context(), Spec{Path: "/no/such/program", Stderr: w})
	if err != nil {
		t.Fatal(err)
	}
	w.Close()
	out, _ := io.ReadAll(r)
	if state := p.Wait(); state.Code != 126 || !strings.Contains(string(out), "/no/such/program") {
		t.Errorf("the process wrote %q and ended with %v", out, state)
	}
}

func TestEndOfRunEndsTheProcesses(t *testing.T) {
	s, err := Open(Options{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.Run(ctx)
	}()
	p, err := s.Start(ctx, Spec{Path: "/usr/bin/sleep", Args: []string{"1000"}, Mounts: tools()})
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	<-done
	if state := p.Wait(); state.Signal != syscall.SIGKILL {
		t.Error(state)
	}
	if _, err := s.Start(ctx, Spec{Path: "/bin/true"}); err == nil {
		t.Error("a process was started after the end")
	}
}

func TestProcessesEndWithTheirSupervisor(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	supervisor := exec.CommandContext(t.Context(), self)
	supervisor.Env = append(os.Environ(), "SANDBOX_TEST=supervisor")
	out, err := supervisor.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := supervisor.StdinPipe(); err != nil { // it runs until this closes
		t.Fatal(err)
	}
	if err := supervisor.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(out)
	if line, err := lines.ReadString('\n'); line != "up\n" {
		t.Fatal(line, err)
	}
	supervisor.Process.Kill()
	if _, err := lines.ReadString('\n'); err != io.EOF { // the process holds the pipe
		t.Errorf("after the supervisor's death: %v", err)
	}
	supervisor.Wait()
}

func superviseUntilKilled() {
	s, err := Open(Options{})
	if err != nil {
		panic(err)
	}
	go s.Run(context.Background())               //nolint:forbidigo // a main program of its own
	_, err = s.Start(context.Background(), Spec{ //nolint:forbidigo // as above
		Path: "/bin/sh", Args: []string{"-c", "echo up; exec sleep 1000"}, Env: []string{"PATH=/bin:/usr/bin"}, Mounts: tools(), Stdout: os.Stdout,
	})
	if err != nil {
		panic(err)
	}
	io.Copy(io.Discard, os.Stdin)
}
