//go:build e2e

package e2e_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// browser is a headless Chromium and the faults it noticed.
type browser struct {
	t   *testing.T
	ctx context.Context

	mu     sync.Mutex
	faults []string
}

func newBrowser(t *testing.T) *browser {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		t.Fatal("there is no chromium: run scripts/setup.sh")
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.DisableGPU, chromedp.WindowSize(1280, 900),
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-background-networking", true), chromedp.Flag("disable-sync", true),
		chromedp.UserDataDir(t.TempDir()), chromedp.WSURLReadTimeout(time.Minute),
	)
	ctx, cancel := chromedp.NewExecAllocator(t.Context(), options...)
	t.Cleanup(cancel)
	b := &browser{t: t}
	b.ctx, cancel = chromedp.NewContext(ctx, chromedp.WithListener(b.notice))
	t.Cleanup(cancel)
	return b
}

// notice records events that no page should cause.
func (b *browser) notice(event any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch e := event.(type) {
	case *runtime.EventConsoleAPICalled:
		if e.Type == runtime.ConsoleAPICalledTypeError || e.Type == runtime.ConsoleAPICalledTypeWarning {
			var text []string
			for _, arg := range e.Args {
				text = append(text, string(arg.Value)+arg.Description)
			}
			b.faults = append(b.faults, "console "+string(e.Type)+": "+strings.Join(text, " "))
		}
	case *runtime.EventExceptionThrown:
		text := e.ExceptionDetails.Text
		if e.ExceptionDetails.Exception != nil {
			text += " " + e.ExceptionDetails.Exception.Description
		}
		b.faults = append(b.faults, "exception: "+text)
	case *network.EventLoadingFailed:
		if !e.Canceled {
			b.faults = append(b.faults, "request failed: "+e.ErrorText)
		}
	case *network.EventResponseReceived:
		// Chromium looks for a favicon of its own accord until it has read of another icon.
		if e.Response.Status >= 400 && !strings.HasSuffix(e.Response.URL, "/favicon.ico") {
			b.faults = append(b.faults, fmt.Sprintf("%s answered %d", e.Response.URL, e.Response.Status))
		}
	}
}

func (b *browser) do(actions ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	if err := chromedp.Do(b.ctx, actions...); err != nil {
		b.t.Fatalf("the browser: %v\nit noticed: %s", err, b.noticed())
	}
}

func (b *browser) noticed() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return strings.Join(b.faults, "\n")
}

// shows waits until an expression of the page's JavaScript is true.
func (b *browser) shows(expression string) {
	b.t.Helper()
	_, err := chromedp.Run(b.ctx, chromedp.Poll[bool](expression, chromedp.WithPollingTimeout(15*time.Second)))
	if err == nil {
		return
	}
	at, _ := chromedp.Run(b.ctx, chromedp.Evaluate[string](`location.href + "\n" + document.body.innerText`)) // the first error has more detail
	b.t.Fatalf("not so: %s: %v\n%s\nthe browser noticed: %s", expression, err, clip(at), b.noticed())
}

// shot keeps a picture of the page.
func (b *browser) shot(name string) {
	b.t.Helper()
	picture, err := chromedp.Run(b.ctx, chromedp.FullScreenshot(100))
	if err != nil {
		b.t.Fatal(err)
	}
	file := filepath.Join(b.t.ArtifactDir(), name)
	if err := os.WriteFile(file, picture, 0o600); err != nil {
		b.t.Fatal(err)
	}
	b.t.Logf("a picture is in %s", file)
}

// fact is the text of a page's fact, in JavaScript.
func fact(label string) string {
	return `document.querySelector('[data-testid="` + label + `"]')?.textContent`
}

func TestABrowserUsesTheNextjsExample(t *testing.T) {
	t.Parallel()
	p := common(t)
	s := lateenCLI(t, p, project(t, "nextjs", "browsed", "preview")).deploy("deploy")
	b := newBrowser(t)

	b.do(chromedp.Navigate(s.address("/")))
	b.shows(fact("served-as") + ` === "static"`)
	b.shows(`window.sameDocument = true`) // which a page load would end
	for _, step := range []struct{ link, path, served string }{
		{"ISR", "/isr", "isr"}, {"Posts", "/posts/hoist", "prerender"}, {"Dynamic", "/dynamic", "function"},
	} {
		b.do(chromedp.Click(chromedp.Search(`//header/a[text()="` + step.link + `"]`)))
		b.shows(`location.pathname === "` + step.path + `" && ` + fact("served-as") + ` === "` + step.served + `" && window.sameDocument`)
	}
	b.shows(fact("from-middleware") + ` === "/dynamic"`)

	b.do(chromedp.Click(chromedp.Search(`//header/a[text()="Form"]`)))
	b.shows(`location.pathname === "/form" && ` + fact("crew-size") + ` === "0"`)
	for i, name := range []string{"Ada", "Grace"} {
		b.do(chromedp.SendKeys(chromedp.CSS(`input[name="name"]`), name), chromedp.Click(chromedp.CSS(`form button`)))
		b.shows(fmt.Sprintf(`%s === "Welcome aboard, %s!" && %s === "%d" && window.sameDocument`, fact("greeting"), name, fact("crew-size"), i+1))
	}
	b.shot("form.png")

	b.do(chromedp.NavigateBack())
	b.shows(`location.pathname === "/dynamic" && ` + fact("served-as") + ` === "function" && window.sameDocument`)
	b.do(chromedp.NavigateForward())
	b.shows(`location.pathname === "/form" && ` + fact("crew") + ` === "Ada, Grace"`)
	b.do(chromedp.Reload())
	b.shows(`!window.sameDocument && ` + fact("crew") + ` === "Ada, Grace"`)
	b.do(chromedp.Click(chromedp.CSS(`.brand`)))
	b.shows(`location.pathname === "/" && ` + fact("served-as") + ` === "static"`)
	b.shot("home.png")

	if faults := b.noticed(); faults != "" {
		t.Error(faults)
	}
}
