package prerender_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/lateen-dev/lateen"
)

// shellHeader returns the content type of a page of Next.js whose state has n bytes.
func shellHeader(n int) string {
	return fmt.Sprintf(`application/x-nextjs-pre-render; state-length=%d; origin="text/html; charset=utf-8"`, n)
}

// shellPage deploys a partially prerendered page.
func (p *pageStage) shellPage(output, state, html string, page lateen.Prerender) {
	p.t.Helper()
	if state != "" || html != "" {
		page.Fallback = &lateen.Fallback{Headers: map[string]string{"content-type": shellHeader(len(state))}}
	}
	page.Chain = &lateen.Chain{Output: output, Headers: map[string]string{"next-resume": "1"}}
	p.page(output, state+html, page)
}

// resumes answers as Next.js does: a request to resume gets the rest of the page, which
// repeats the received state, and any other request gets the page with its state and
// shell.
func resumes(r *http.Request, n int) *http.Response {
	if r.Header.Get("Next-Resume") != "1" || r.Method != http.MethodPost {
		state := fmt.Sprint("state ", n, " ")
		page := reply(200, state+fmt.Sprintf("<shell %d>", n), "Cache-Control: s-maxage=60")
		page.Header.Set("Content-Type", shellHeader(len(state)))
		return page
	}
	state, _ := io.ReadAll(r.Body)
	return reply(200, fmt.Sprintf("<for %s of %q>", r.Header.Get("Cookie"), state), "Set-Cookie: of=the-rest", "X-Rest: 1")
}

func TestAShellIsCompletedForEachRequest(t *testing.T) {
	withPages(t, func(p *pageStage) {
		p.shellPage("/ppr", "{state}", "<html>", lateen.Prerender{AllowQuery: []string{}})
	}, func(p *pageStage) {
		p.answer = resumes
		p.want(`PRERENDER: <html><for a=1 of "{state}">`, "/ppr", "Cookie: a=1")
		p.want(`HIT: <html><for a=2 of "{state}">`, "/ppr", "Cookie: a=2", "If-None-Match: *", "Range: bytes=0-1", "Content-Type: application/x-www-form-urlencoded")
		asked := p.last()
		if asked.Header.Get("X-Matched-Path") != "/ppr" || asked.ContentLength != int64(len("{state}")) {
			t.Errorf("the function got %v and %d bytes", asked.Header, asked.ContentLength)
		}
		for _, name := range []string{"If-None-Match", "Range", "Content-Type"} {
			if asked.Header[name] != nil {
				t.Errorf("the function got the client's %s, which does not apply to its own request", name)
			}
		}
		resp := p.send("GET", "/ppr", "Cookie: a=3")
		if h := resp.Header; h.Get("Content-Type") != "text/html; charset=utf-8" || h["Etag"] != nil || h["Content-Length"] != nil || h["X-Rest"] != nil || h["Set-Cookie"] != nil {
			t.Errorf("the header of the response is %v", h)
		}
		before := p.called()
		if resp = p.send("HEAD", "/ppr"); resp.StatusCode != 200 || p.called() != before {
			t.Errorf("HEAD: %d, and the function was called %d times", resp.StatusCode, p.called()-before)
		}
	})
}

func TestAShellIsSentBeforeItsFunctionIsCalled(t *testing.T) {
	withPages(t, func(p *pageStage) {
		p.shellPage("/ppr", "{state}", "<html>", lateen.Prerender{})
	}, func(p *pageStage) {
		w := httptest.NewRecorder()
		p.answer = func(r *http.Request, n int) *http.Response {
			if got := w.Body.String(); got != "<html>" || !w.Flushed {
				t.Errorf("before the call of the function, the client had %q", got)
			}
			return resumes(r, n)
		}
		p.edge.ServeHTTP(w, httptest.NewRequestWithContext(p.t.Context(), "GET", "http://app.localhost/ppr", nil))
		if got := w.Body.String(); got != `<html><for  of "{state}">` {
			t.Errorf("got %q", got)
		}
	})
}

func TestAShellIsRefreshedWithItsState(t *testing.T) {
	withPages(t, func(p *pageStage) {
		p.shellPage("/ppr/[slug]", "", "", lateen.Prerender{AllowQuery: []string{}})
	}, func(p *pageStage) {
		p.answer = resumes
		p.want(`MISS (cold): <shell 1><for a=1 of "state 1 ">`, "/ppr/[slug]", "Cookie: a=1")
		p.want(`HIT: <shell 1><for a=2 of "state 1 ">`, "/ppr/[slug]", "Cookie: a=2")
		if made := p.calls[0]; made.Method != http.MethodGet || made.Header["Cookie"] != nil || made.Header["Next-Resume"] != nil {
			t.Errorf("the cache fill used %s with %v", made.Method, made.Header)
		}
	})
}

// The data that a router requests for a navigation has no shell.
func TestAPageWithOnlyStateIsItsFunctionsResponse(t *testing.T) {
	withPages(t, func(p *pageStage) {
		p.shellPage("/ppr.rsc", "{state}", "", lateen.Prerender{})
	}, func(p *pageStage) {
		p.answer = resumes
		resp := p.send("GET", "/ppr.rsc", "Cookie: a=1")
		body, _ := io.ReadAll(resp.Body)
		if string(body) != `<for a=1 of "{state}">` || resp.Header.Get("X-Rest") != "1" || resp.Header.Get("Set-Cookie") == "" {
			t.Errorf("got %q with %v", body, resp.Header)
		}
	})
}

func TestAStateNeverReachesAClient(t *testing.T) {
	for name, contentType := range map[string]string{
		"a length that is no number": "application/x-nextjs-pre-render" + "; state-length=all", "no length": "application/x-nextjs-pre-render", "a negative length": shellHeader(-5),
		"more state than page": shellHeader(100),
	} {
		t.Run(name, func(t *testing.T) {
			withPages(t, func(p *pageStage) {
				p.shellPage("/ppr", "{state}", "<html>", lateen.Prerender{Fallback: nil})
				p.site.Manifest.Prerenders["/ppr"].Fallback.Headers["content-type"] = contentType
			}, func(p *pageStage) {
				p.answer = resumes
				if got := p.get("/ppr"); !strings.Contains(got, `<for  of "">`) || strings.Contains(got, "{state}") {
					t.Errorf("got %s, want the whole page of its function", got)
				}
			})
		})
	}
}

// wantCutOff fails the test unless the response for /ppr is truncated after the shell.
func wantCutOff(t *testing.T, p *pageStage) {
	t.Helper()
	w := httptest.NewRecorder()
	func() {
		defer func() {
			if recover() != http.ErrAbortHandler { //nolint:errorlint // net/http compares the value itself
				t.Error("the response ended without an error")
			}
		}()
		p.edge.ServeHTTP(w, httptest.NewRequestWithContext(p.t.Context(), "GET", "http://app.localhost/ppr", nil))
	}()
	if got := p.record(); got.Error != lateen.ErrFunctionFailed.Reason || w.Body.String() != "<html>" {
		t.Errorf("the client got %q, and the record has %q", w.Body, got.Error)
	}
}

// A client must not take the shell for the complete page.
func TestAResponseBreaksIfTheFunctionFailsAfterTheShell(t *testing.T) {
	withPages(t, func(p *pageStage) {
		p.shellPage("/ppr", "{state}", "<html>", lateen.Prerender{})
	}, func(p *pageStage) {
		p.answer = func(*http.Request, int) *http.Response { return nil }
		wantCutOff(t, p)
	})
}

// The client gets no second document after the shell, and the record has the error.
func TestAnErrorPageIsNotAppendedToAShell(t *testing.T) {
	withPages(t, func(p *pageStage) {
		p.shellPage("/ppr", "{state}", "<html>", lateen.Prerender{})
	}, func(p *pageStage) {
		p.answer = func(*http.Request, int) *http.Response { return reply(500, "<html>Internal Server Error") }
		wantCutOff(t, p)
	})
}
