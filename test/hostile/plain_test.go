//go:build linux && e2e

package hostile_test

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/lateen-dev/lateen/internal/engine/enginetest"
)

// plainUser is a user id that nothing else on a host has.
const plainUser = 0x6c617465

// TestFunctionsOfAPlainUserAreContained runs all attacks as an ordinary user.
func TestFunctionsOfAPlainUserAreContained(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("the test runs as a plain user already")
	}
	dir := enginetest.Reachable(t)
	for _, name := range []string{"tmp", "home", "runtimes"} {
		if err := errors.Join(os.Mkdir(filepath.Join(dir, name), 0o755), os.Chown(filepath.Join(dir, name), plainUser, plainUser)); err != nil {
			t.Fatal(err)
		}
	}
	runtimes := runtimesDir(t)
	if err := mirror(runtimes, filepath.Join(dir, "runtimes")); err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(dir, "hostile.test")
	if err := copyProgram(self, program); err != nil {
		t.Fatal(err)
	}
	platform := os.Getenv("LATEEN_TEST_PROGRAM") // see package sandbox
	if platform != "" {
		own := filepath.Join(dir, "lateen")
		if err := copyProgram(platform, own); err != nil {
			t.Fatal(err)
		}
		platform = own
	}
	cmd := exec.CommandContext(t.Context(), program, "-test.run=^(TestFunctionsAreContained|TestTheEngineReportsMissingSandboxLayers)$", "-test.v")
	cmd.Env = []string{
		"HOME=" + filepath.Join(dir, "home"), "TMPDIR=" + filepath.Join(dir, "tmp"), "PATH=" + os.Getenv("PATH"),
		"LATEEN_TEST_RUNTIMES=" + filepath.Join(dir, "runtimes"), "LATEEN_TEST_ATTACKER=" + attacker(t),
		"LATEEN_TEST_PROGRAM=" + platform,
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: plainUser, Gid: plainUser, Groups: []uint32{}}}
	out, err := cmd.CombinedOutput()
	said := transcribe(string(out))
	t.Log(said.table())
	failed := said.failed()
	for _, name := range failed {
		t.Logf("%s:\n%s", name, said.words(name))
	}
	if err != nil {
		t.Errorf("%v: %s", err, strings.Join(failed, ", "))
	}
	for _, name := range []string{"TestFunctionsAreContained", "TestTheEngineReportsMissingSandboxLayers"} {
		if said.verdicts[name] != "PASS" {
			t.Errorf("%s did not pass", name)
		}
	}
}

// copyProgram copies a program to a path that every user may execute.
func copyProgram(from, to string) error {
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, data, 0o755) //nolint:gosec // a program
}

// runtimesDir is where the toolchain of tests has put the runtimes.
func runtimesDir(t *testing.T) string {
	t.Helper()
	tools := enginetest.Toolchain(t)
	program, err := tools.Node(t.Context(), 24)
	if err == nil {
		_, err = tools.Bun(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Dir(filepath.Dir(filepath.Dir(program)))
}

// mirror makes a tree of hard links to the files of another, where both are on
// one file system, else of copies.
func mirror(from, to string) error {
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		at := filepath.Join(to, rel)
		switch {
		case d.IsDir():
			return os.MkdirAll(at, 0o755) //nolint:gosec // for all users
		case d.Type()&fs.ModeSymlink != 0:
			aim, err := os.Readlink(path)
			if err != nil {
				return err
			}
			return os.Symlink(aim, at)
		}
		if os.Link(path, at) == nil {
			return nil
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(at, data, 0o755) //nolint:gosec // programs among them
	})
}
