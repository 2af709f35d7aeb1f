package edge

import (
	"net/http"
	"strings"
	"testing"

	"github.com/lateen-dev/lateen"
)

// varyOf returns the Vary of a response as one list.
func varyOf(h http.Header) string { return strings.Join(h["Vary"], ", ") }

func TestACompressedFileAlwaysVariesByEncoding(t *testing.T) { // RFC 9110 §12.5.5
	s := newStage(t)
	s.file("/f.txt", "text/plain", strings.Repeat("hello ", 100))
	s.manifest.Routes = []lateen.Route{{Src: "/.*", Continue: true, Important: true, Headers: map[string]string{"vary": "Cookie"}}}
	s.open()
	for _, headers := range [][]string{nil, {"Accept-Encoding: gzip"}} {
		resp, _ := s.get("/f.txt", headers...)
		if is(t, resp, 200, ""); varyOf(resp.Header) != "Accept-Encoding, Cookie" {
			t.Errorf("Vary: %s", varyOf(resp.Header))
		}
		resp, _ = s.get("/f.txt", append(headers, "If-None-Match: "+resp.Header.Get("Etag"))...)
		if is(t, resp, 304, ""); varyOf(resp.Header) != "Accept-Encoding, Cookie" {
			t.Errorf("Vary of a 304: %s", varyOf(resp.Header))
		}
	}
}

func TestA304OfAFunctionMatchesIts200(t *testing.T) { // RFC 9110 §15.4.5, RFC 9111 §4.3.4
	s := functionStage(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Etag", `"1"`)
		w.Header().Set("Vary", "Cookie")
		if strings.Contains(r.Header.Get("If-None-Match"), `"1"`) {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		w.Header().Set("Content-Type", "text/plain")
		w.Write([]byte(strings.Repeat("long enough ", 200)))
	}).open()
	for _, headers := range [][]string{{"Accept-Encoding: gzip"}, {"Accept-Encoding: identity"}} {
		whole, _ := s.get("/fn", headers...)
		resp, _ := s.get("/fn", append(headers, "If-None-Match: "+whole.Header.Get("Etag"))...)
		is(t, resp, 304, "")
		has(t, resp.Header, "Etag", whole.Header.Get("Etag"))
		if got, want := varyOf(resp.Header), varyOf(whole.Header); got != want {
			t.Errorf("%v: Vary: %s, want %s", headers, got, want)
		}
	}
}
