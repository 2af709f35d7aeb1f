package edge

import (
	"bytes"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/lateen-dev/lateen"
)

type siteLog struct {
	mu  sync.Mutex
	all []lateen.LogLine
}

func (l *siteLog) Log(line lateen.LogLine) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, line)
}

// A route pattern that takes too long on a path is an error of the site: the log of the
// site has it, with the request's ID, and the daemon's log does not.
func TestAPatternThatTakesTooLongIsInTheLogOfTheSite(t *testing.T) {
	s := newStage(t)
	var daemon bytes.Buffer
	logged := &siteLog{}
	s.options.Log, s.options.Lines = slog.New(slog.NewTextHandler(&daemon, nil)), logged
	s.manifest.Routes = []lateen.Route{{Src: `^/(?=a)(a+)+(?!b)c$`, Dest: "/x"}}
	s.open()
	resp, _ := s.do("GET", "/"+strings.Repeat("a", 30_000)+"!c", nil)
	if resp.StatusCode != http.StatusInternalServerError {
		t.Errorf("the status is %d", resp.StatusCode)
	}
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(daemon.String(), "request failed") {
		t.Errorf("the daemon's log has the error: %.300q", daemon.String())
	}
	if len(logged.all) != 1 || len(logged.all[0].Text) > maxFailure+3 || logged.all[0].Project != "prj_1" || logged.all[0].Request == "" || logged.all[0].Level != lateen.LevelError {
		t.Errorf("the site's log has %+v", logged.all)
	}
}

func TestTextsInTheDaemonsLogAreShort(t *testing.T) {
	var out bytes.Buffer
	s := newStage(t)
	s.options.Log = slog.New(slog.NewTextHandler(&out, nil))
	s.site.Manifest.Files["/f"] = lateen.File{Blob: lateen.Blob{Digest: lateen.DigestOf([]byte("gone")), Size: 4}}
	s.open()
	resp, _ := s.do("GET", "/f", nil)
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != http.StatusInternalServerError || !strings.Contains(out.String(), "request failed") {
		t.Errorf("%d: %s", resp.StatusCode, out.String())
	}
	if got := shorten(errors.New(strings.Repeat("x", 60_000)).Error()); len(got) > maxFailure+3 {
		t.Errorf("a text has %d bytes", len(got))
	}
}
