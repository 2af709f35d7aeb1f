package client

import (
	"context"
	"crypto/sha1" //nolint:gosec // the upload protocol's name for content
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lateen-dev/lateen"
)

// DeployOptions configure a deployment.
type DeployOptions struct {
	Dir     string             // directory of the build: the project's directory, or the repository's with Root
	Root    string             // folder of Dir that has .vercel/output; "" is Dir itself
	Project string             // id or name; one that is not there is made. Required
	Target  lateen.Environment // production, preview or a custom environment; "" is for the platform to choose

	Config    []string // names of the fields in vercel.json: the build log says which have no effect
	Meta      map[string]string
	Env       map[string]string // over the project's variables
	Git       *lateen.GitMetadata
	SkipHosts bool // production: wait to be promoted
	NoWait    bool // return as soon as the platform has everything

	Uploads  int            // at once; 0 is 16
	Progress func(Progress) // called now and then, by one goroutine at a time; nil is never
}

// Stage is the current stage of a deployment.
type Stage string

// The stages, in order. A client that has all files uploads none.
const (
	Hashing   Stage = "hashing"
	Uploading Stage = "uploading"
	Building  Stage = "building"
	Done      Stage = "done"
)

// Progress is the progress of a deployment.
type Progress struct {
	Stage      Stage
	Files      int   // hashed or uploaded
	TotalFiles int   // to hash or upload
	Bytes      int64 // uploaded, of files under way as well
	TotalBytes int64 // to upload

	Deployment *Deployment          // from Building on
	Event      *lateen.BuildLogLine // a line of the build log, in Building
}

// rounds is the maximum number of uploads of missing files. More than one is needed only
// if the platform swept files meanwhile.
const rounds = 3

// Deploy deploys a build output: it uploads the files that the platform lacks and
// waits until the deployment serves. A failed deployment is returned with its reason
// as the error. Uploaded files are retained for a while: to continue after an error,
// deploy again.
func (c *Client) Deploy(ctx context.Context, o DeployOptions) (*Deployment, error) {
	progress := o.Progress
	if progress == nil {
		progress = func(Progress) {}
	}
	sources, err := scan(o.Dir, o.Root)
	if err != nil {
		return nil, err
	}
	err = hashAll(ctx, sources, func(files int) {
		progress(Progress{Stage: Hashing, Files: files, TotalFiles: len(sources)})
	})
	if err != nil {
		return nil, err
	}
	d, err := c.create(ctx, &o, sources, progress)
	if err != nil || o.NoWait {
		return d, err
	}
	return c.Await(ctx, d, progress)
}

// create requests the deployment and uploads the files that the platform lacks.
func (c *Client) create(ctx context.Context, o *DeployOptions, sources []source, progress func(Progress)) (*Deployment, error) {
	in := map[string]any{"name": o.Project, "source": "cli", "version": 2}
	files := make([]lateen.UploadFile, 0, len(sources))
	bySHA := make(map[string]*source, len(sources))
	for i := range sources {
		files = append(files, sources[i].UploadFile)
		bySHA[string(sources[i].SHA1)] = &sources[i]
	}
	in["files"], in["configFields"] = files, append([]string{}, o.Config...)
	set := func(name string, value any, is bool) {
		if is {
			in[name] = value
		}
	}
	set("target", string(o.Target), o.Target != "")
	set("meta", o.Meta, len(o.Meta) > 0)
	set("env", o.Env, len(o.Env) > 0)
	set("gitMetadata", o.Git, o.Git != nil)
	set("autoAssignCustomDomains", false, o.SkipHosts)
	set("projectSettings", map[string]string{"rootDirectory": o.Root}, o.Root != "" && o.Root != ".")
	for round := 1; ; round++ {
		var d Deployment
		err := c.do(ctx, call{method: http.MethodPost, path: "/v13/deployments", query: url.Values{"prebuilt": {"1"}}, in: in, out: &d, atMostOnce: true})
		if err == nil {
			return &d, nil
		}
		if !errors.Is(err, lateen.ErrMissingFiles) || round > rounds {
			return nil, err
		}
		if err := c.upload(ctx, o, err, bySHA, progress); err != nil {
			return nil, err
		}
	}
}

// upload sends the files that the platform said are missing.
func (c *Client) upload(ctx context.Context, o *DeployOptions, missing error, bySHA map[string]*source, progress func(Progress)) error {
	var wanted []*source
	p := Progress{Stage: Uploading}
	if e, ok := errors.AsType[*lateen.Error](missing); ok {
		for sha := range e.Fields {
			s, known := bySHA[sha]
			if !known {
				return ErrResponse.With("the platform asks for a file %s that is not in the deployment", sha)
			}
			wanted = append(wanted, s)
			p.TotalBytes += s.Size
		}
	}
	p.TotalFiles = len(wanted)
	width := o.Uploads
	if width <= 0 {
		width = 16
	}
	var mu sync.Mutex
	progress(p)
	return parallel(ctx, width, len(wanted), func(ctx context.Context, i int) error {
		s := wanted[i]
		count := func(files int, bytes int64) {
			mu.Lock()
			defer mu.Unlock()
			p.Files += files
			p.Bytes += bytes
			progress(p)
		}
		if err := c.uploadFile(ctx, s, func(bytes int64) { count(0, bytes) }); err != nil {
			return fmt.Errorf("upload %s: %w", s.Path, err)
		}
		count(1, 0)
		return nil
	})
}

// uploadFile sends a file. It calls sent with the number of bytes sent, and with a
// negative number when they must be sent again.
func (c *Client) uploadFile(ctx context.Context, s *source, sent func(bytes int64)) error {
	var counted atomic.Int64
	return c.do(ctx, call{
		method: http.MethodPost, path: "/v2/files", size: s.Size,
		header: http.Header{
			"Content-Type": {"application/octet-stream"},
			"X-Now-Digest": {string(s.SHA1)},
			"X-Now-Size":   {strconv.FormatInt(s.Size, 10)},
		},
		body: func() (io.ReadCloser, error) {
			f, err := s.open()
			if err != nil {
				return nil, err
			}
			if again := counted.Swap(0); again > 0 {
				sent(-again)
			}
			passed := func(n int) { counted.Add(int64(n)); sent(int64(n)) }
			return &checked{ReadCloser: f, hash: sha1.New(), want: s, passed: passed}, nil //nolint:gosec // see the import
		},
	})
}

// Await follows a deployment until it is settled and returns its final state; progress
// receives the lines of the build log. A failed deployment is returned with its reason
// as the error.
func (c *Client) Await(ctx context.Context, d *Deployment, progress func(Progress)) (*Deployment, error) {
	progress(Progress{Stage: Building, Deployment: d})
	var last int64
	length := firstPause
	for {
		for e, err := range c.BuildLog(ctx, d.ID, 0, true) {
			if err != nil {
				break // the deployment itself says how it stands
			}
			if e.Serial > last {
				last = e.Serial
				progress(Progress{Stage: Building, Deployment: d, Event: &e})
			}
		}
		now, err := c.Deployment(ctx, string(d.ID))
		if err != nil {
			return d, err
		}
		d = now
		if d.Settled() {
			break
		}
		if !pause(ctx, length) {
			return d, context.Cause(ctx)
		}
		length = min(2*length, 5*time.Second)
	}
	progress(Progress{Stage: Done, Deployment: d})
	if d.State == lateen.Failed {
		return d, &lateen.Error{Code: lateen.Faulted, Reason: d.ErrorReason, Message: d.ErrorText, Hint: "the build log says more: `lateen inspect --logs " + string(d.ID) + "`"}
	}
	if d.State == lateen.Canceled {
		return d, lateen.ErrDeploymentFinal.With("the deployment was canceled")
	}
	return d, nil
}
