package instance

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path"
	"strings"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/codecache"
	"github.com/lateen-dev/lateen/internal/engine/local/process"
)

const (
	sampleTimeout  = 10 * time.Second // time limit of one sample request; after a timeout no others follow
	maxSampleBytes = 512              // maximum bytes of a sample request
)

// Sample is a request that training runs may repeat.
type Sample struct{ host, path, matched, accept string }

// SampleOf returns req as a sample request, without data that is private to the
// client. Only a request that is safe to repeat qualifies.
func SampleOf(req *http.Request) (Sample, bool) {
	v := Sample{req.Host, req.URL.Path, req.Header.Get("X-Matched-Path"), req.Header.Get("Accept")}
	return v, req.Method == http.MethodGet && len(v.host)+len(v.path)+len(v.matched)+len(v.accept) <= maxSampleBytes
}

// GuessSample returns a sample request made from the name of a function.
func GuessSample(name string) Sample {
	at := "/" + strings.Trim(name, "/")
	if base := path.Base(at); base == "index" {
		at = path.Dir(at)
	}
	if strings.ContainsAny(at, "[_") {
		at = "/"
	}
	return Sample{"localhost", at, at, "text/html,*/*"}
}

// Train starts an instance for a training run, muted and without a network, at a
// moment when no start is in progress.
func (g *Group) Train(ctx context.Context, r *process.Runner, spec lateen.FunctionSpec, l Activation) (*Instance, error) {
	tree, err := g.Trees(ctx, spec.Function.Tree)
	if err != nil {
		return nil, fmt.Errorf("lay out its files: %w", err)
	}
	if err := g.Burst.Over(ctx); err != nil {
		return nil, err
	}
	w, err := g.Host.Boot(ctx, process.BootOptions{Runner: r, Background: true, Env: r.BootEnv(spec.Env)})
	if err != nil {
		return nil, err
	}
	w.Output.Mute()
	i := g.Add(ctx, w, Options{Spec: spec, Training: true})
	return i, i.Load(ctx, tree, l)
}

// ErrHangs means that a function did not answer a sample request.
var ErrHangs = errors.New("it does not answer")

// SendSamples sends the sample requests to an instance for a number of rounds, or
// until the time is over; the responses do not matter. It fails at the first request
// without a response, since the following ones would probably hang too.
func SendSamples(ctx context.Context, i *Instance, samples []Sample, rounds int) error {
	began := time.Now()
	for range rounds {
		for _, v := range samples {
			if isClosed(i.done) || time.Since(began) > i.group.SampleTime {
				return nil
			}
			if err := v.send(ctx, i); err != nil {
				return err
			}
		}
	}
	return nil
}

func (v Sample) send(ctx context.Context, i *Instance) error {
	ctx, cancel := context.WithTimeoutCause(ctx, i.group.SampleTime, ErrHangs)
	defer cancel()
	header := http.Header{"X-Forwarded-Host": {v.host}, "X-Forwarded-Proto": {"https"}}
	if v.matched != "" {
		header.Set("X-Matched-Path", v.matched)
	}
	if v.accept != "" {
		header.Set("Accept", v.accept)
	}
	req := (&http.Request{Method: http.MethodGet, URL: &url.URL{Path: v.path}, Host: v.host, Header: header}).WithContext(ctx)
	resp, err := i.RoundTrip(req)
	if err != nil {
		return context.Cause(ctx) // a function that fails is warm, too
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, codecache.Max)) // an error does not matter either, and a stream may have no end
	return nil
}
