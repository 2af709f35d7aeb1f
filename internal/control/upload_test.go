package control_test

import (
	"errors"
	"io"
	"io/fs"
	"strings"
	"testing"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/control"
)

func TestUploadStoresTheAnnouncedContent(t *testing.T) {
	c := newTester(t)
	for _, size := range []int64{5, -1} {
		if err := c.Upload(c.ctx, sha("hello"), size, strings.NewReader("hello")); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := c.Artifacts.Size(t.Context(), lateen.DigestOf([]byte("hello"))); err != nil {
		t.Error(err)
	}
}

// A body that differs from its announcement is not stored, and the team does not
// have it afterwards.
func TestUploadRefuses(t *testing.T) {
	c := newTester(t, func(o *control.Options) { o.MaxFile = 100 })
	long := strings.Repeat("x", 101)
	for name, tt := range map[string]struct {
		sha  lateen.SHA1
		size int64
		body io.Reader
		want error
	}{
		"another content":             {sha("hello"), 5, strings.NewReader("jello"), lateen.ErrUploadDigest},
		"too little":                  {sha("hello"), 5, strings.NewReader("hell"), lateen.ErrUploadTruncated},
		"too much":                    {sha("hello"), 5, strings.NewReader("hello!"), lateen.ErrUploadTruncated},
		"a connection lost":           {sha("hello"), -1, io.MultiReader(strings.NewReader("hell"), lost{}), lateen.ErrUploadTruncated},
		"a large file":                {sha(long), 101, strings.NewReader(long), lateen.ErrTooLarge},
		"a large file without a size": {sha(long), -1, strings.NewReader(long), lateen.ErrTooLarge},
		"a name that is a path":       {"../../../../etc/passwd", 5, strings.NewReader("hello"), lateen.ErrUploadDigest},
		"a name in capitals":          {lateen.SHA1(strings.ToUpper(string(sha("hello")))), 5, strings.NewReader("hello"), lateen.ErrUploadDigest},
	} {
		err := c.Upload(c.ctx, tt.sha, tt.size, tt.body)
		if !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", name, err, tt.want)
		}
	}
	for _, content := range []string{"hello", "jello", "hell", "hello!", long} {
		if _, err := c.Artifacts.Size(t.Context(), lateen.DigestOf([]byte(content))); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%.10q was stored: %v", content, err)
		}
	}
	_, err := c.Deploy(c.ctx, control.DeployRequest{Project: "shop", Files: []lateen.UploadFile{{Path: ".vercel/output/config.json", SHA1: sha("hello")}}})
	wants(t, err, lateen.ErrMissingFiles)
}

type lost struct{}

func (lost) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// Uploads of one team are missing for another, which could otherwise read files by
// their hash alone.
func TestUploadsBelongToATeam(t *testing.T) {
	c := newTester(t)
	eve := c.As(t, c.Member(t, "eve", "other", lateen.Owner))
	if err := c.Upload(c.ctx, sha("hello"), 5, strings.NewReader("hello")); err != nil {
		t.Fatal(err)
	}
	_, err := c.Deploy(eve, control.DeployRequest{Project: "x", Files: []lateen.UploadFile{{Path: ".vercel/output/config.json", SHA1: sha("hello")}}})
	wants(t, err, lateen.ErrMissingFiles)
	if _, err := c.Project(eve, "x"); !errors.Is(err, lateen.ErrProjectNotFound) {
		t.Errorf("a refused deployment left a project: %v", err)
	}
}
