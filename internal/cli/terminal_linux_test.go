package cli_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/lateen-dev/lateen/internal/cli"
	"github.com/lateen-dev/lateen/internal/control/controltest"
)

// terminal is a pseudo-terminal with a person at it.
type terminal struct {
	*os.File // the end of the command

	person *os.File
	screen *printed
}

func newTerminal(t *testing.T) *terminal {
	t.Helper()
	person, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { person.Close() })
	fd := int(person.Fd())
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	number, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	end, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { end.Close() })
	if err := unix.IoctlSetWinsize(int(end.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 40, Col: 100}); err != nil {
		t.Fatal(err)
	}
	term := &terminal{File: end, person: person, screen: &printed{}}
	go func() {
		b := make([]byte, 4096)
		for {
			n, err := person.Read(b)
			_, _ = term.screen.Write(b[:n])
			if err != nil {
				return // the test has ended
			}
		}
	}()
	return term
}

// types types a line once the screen shows a question.
func (term *terminal) types(t *testing.T, question, answer string) {
	t.Helper()
	eventually(t, "the question "+question, func() bool { return strings.Contains(term.screen.String(), question) })
	if _, err := term.person.WriteString(answer + "\n"); err != nil {
		t.Fatal(err)
	}
}

// at runs a command at a terminal; wait returns its exit code.
func (p *platform) at(t *testing.T, term *terminal, dir string, args ...string) (wait func() int) {
	t.Helper()
	return p.atWithin(t.Context(), t, term, dir, args...)
}

func (p *platform) atWithin(ctx context.Context, t *testing.T, term *terminal, dir string, args ...string) (wait func() int) {
	t.Helper()
	s := cli.State{
		Args: args, Dir: dir, Stdin: term.File, Stdout: term.File, Stderr: term.File,
		Env: []string{"HOME=" + t.TempDir(), "LATEEN_API=" + p.url, "LATEEN_TOKEN=" + p.Token, "TERM=xterm-256color"},
	}
	ended := make(chan int, 1)
	go func() { ended <- cli.Run(ctx, s) }()
	return func() int { return <-ended }
}

// shows waits until the screen shows a text: it arrives a moment after it was printed.
func (term *terminal) shows(t *testing.T, text string) {
	t.Helper()
	eventually(t, text+" on the screen", func() bool { return strings.Contains(term.screen.String(), text) })
}

// quiet waits until the terminal no longer shows typed text.
func (term *terminal) quiet(t *testing.T) {
	t.Helper()
	eventually(t, "an echo that is off", func() bool {
		now, err := unix.IoctlGetTermios(int(term.Fd()), unix.TCGETS)
		return err == nil && now.Lflag&unix.ECHO == 0
	})
}

func TestAtATerminalTheURLIsThereOnceAndTheLineMoves(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	dir := filepath.Join(t.TempDir(), "shop")
	controltest.Output(t, dir, "production")
	term := newTerminal(t)
	if code := p.at(t, term, dir, "deploy")(); code != 0 {
		t.Fatalf("exit code %d\n%s", code, term.screen)
	}
	term.shows(t, "Deployment")
	screen := term.screen.String()
	for _, want := range []string{"\x1b[32m✓\x1b[m Linked shop", "\r\x1b[K", "\x1b[36mhttp://shop.localhost:"} {
		if !strings.Contains(screen, want) {
			t.Errorf("the screen has no %q:\n%q", want, screen)
		}
	}
	if n := strings.Count(screen, "-team.localhost"); n != 1 {
		t.Errorf("the deployment's own URL is there %d times:\n%s", n, screen)
	}
}

func TestAPersonIsAskedBeforeSomethingIsLost(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	dir := filepath.Join(t.TempDir(), "shop")
	controltest.Output(t, dir, "production")
	term := newTerminal(t)
	if code := p.at(t, term, dir, "deploy")(); code != 0 {
		t.Fatalf("exit code %d\n%s", code, term.screen)
	}
	term = newTerminal(t)
	wait := p.at(t, term, dir, "project", "rm", "shop")
	term.types(t, "(y/N)", "")
	if code := wait(); code != 2 {
		t.Errorf("who does not say yes gets exit code %d, want 2", code)
	}
	term.shows(t, "Nothing was changed.")
	term = newTerminal(t)
	wait = p.at(t, term, dir, "project", "rm", "shop")
	term.types(t, "(y/N)", "yes")
	if code := wait(); code != 0 {
		t.Errorf("who says yes gets exit code %d\n%s", code, term.screen)
	}
	term.shows(t, "Removed project shop")
}

func TestLinkingAsksForTheName(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	dir := filepath.Join(t.TempDir(), "My Shop")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	term := newTerminal(t)
	wait := p.at(t, term, dir, "link")
	term.types(t, "(my-shop)", "boutique")
	term.types(t, "Project \x1b[1mboutique\x1b[m does not exist. Create it?", "y")
	if code := wait(); code != 0 {
		t.Fatalf("exit code %d\n%s", code, term.screen)
	}
	term.shows(t, "a new project")
	term = newTerminal(t)
	wait = p.at(t, term, dir, "link", "nope")
	term.types(t, "Link it to \x1b[1mnope\x1b[m instead?", "")
	if code := wait(); code != 2 {
		t.Fatalf("exit code %d\n%s", code, term.screen)
	}
	term = newTerminal(t)
	wait = p.at(t, term, dir, "link")
	term.types(t, "(boutique)", "my-shop")
	term.types(t, "(y/N)", "y")
	if code := wait(); code != 0 {
		t.Fatalf("exit code %d\n%s", code, term.screen)
	}
	text, err := os.ReadFile(filepath.Join(dir, ".vercel", "project.json"))
	if err != nil || !strings.Contains(string(text), `"projectName":"my-shop"`) {
		t.Errorf("linked to %s, %v", text, err)
	}
}

func TestASecretIsNotSeenAndAnInterruptedQuestionLeavesTheTerminalAsItWas(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	dir := t.TempDir()
	term := newTerminal(t)
	if code := p.at(t, term, dir, "link", "shop", "--yes")(); code != 0 {
		t.Fatal(term.screen)
	}
	wait := p.at(t, term, dir, "env", "add", "API_KEY", "preview")
	term.quiet(t)
	term.types(t, "Value of API_KEY:", "hunter2")
	if code := wait(); code != 0 {
		t.Fatalf("exit code %d\n%s", code, term.screen)
	}
	term.shows(t, "Added")
	if strings.Contains(term.screen.String(), "hunter2") {
		t.Errorf("the secret is on the screen:\n%s", term.screen)
	}

	before, err := unix.IoctlGetTermios(int(term.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	wait = p.atWithin(ctx, t, term, dir, "env", "update", "API_KEY")
	term.quiet(t)
	cancel()
	if code := wait(); code != 130 {
		t.Errorf("exit code %d, want 130", code)
	}
	after, err := unix.IoctlGetTermios(int(term.Fd()), unix.TCGETS)
	if err != nil || after.Lflag != before.Lflag {
		t.Errorf("the terminal has flags %x, %v; it had %x", after.Lflag, err, before.Lflag)
	}
	_, _ = term.person.WriteString("\n") // ends a pending read
}
