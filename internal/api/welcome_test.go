package api_test

import (
	"io"
	"net/http"
	"strings"
	"testing"
)

// The address of the API shows a page in a browser, and the JSON error to other
// clients.
func TestTheAddressOfTheAPIShowsAPageInABrowser(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for accept, want := range map[string]struct {
		status     int
		kind, text string
	}{
		"text/html,application/xhtml+xml,*/*;q=0.8": {http.StatusOK, "text/html; charset=utf-8", "lateen login http://127.0.0.1"},
		"*/*":              {http.StatusNotFound, "application/json; charset=utf-8", `"code":"not_found"`},
		"application/json": {http.StatusNotFound, "application/json; charset=utf-8", `"code":"not_found"`},
	} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.URL+"/", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Accept", accept)
		resp, err := w.client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || resp.StatusCode != want.status || resp.Header.Get("Content-Type") != want.kind || !strings.Contains(string(body), want.text) {
			t.Errorf("Accept: %s: %d %s, %v\n%s", accept, resp.StatusCode, resp.Header.Get("Content-Type"), err, body)
		}
	}
}
