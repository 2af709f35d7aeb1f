package lateen

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"time"
)

// Span is a part of an operation of the platform, with its begin and its end, for
// OpenTelemetry.
type Span struct {
	Trace      string // 32 hex digits, W3C Trace Context
	ID         string // 16 hex digits
	Parent     string // the span that this one is a part of; "" is none
	Name       string
	Deployment DeploymentID
	Begin, End time.Time
	Err        error // nil if the operation succeeded
}

// Span returns the first span of the trace of a deployment. Its ids are a function of
// the deployment's id: a trace continues after a restart of the platform, and in
// another process.
func (id DeploymentID) Span() Span {
	sum := sha256.Sum256([]byte("trace " + id))
	return Span{Trace: hex.EncodeToString(sum[:16]), ID: hex.EncodeToString(sum[16:24]), Name: "deploy", Deployment: id}
}

type spanKey struct{}

// parent is the span to which the next spans of a context belong.
type parent struct {
	Span

	sink func(Span)
}

// WithSpans returns a context whose spans are parts of a span and go to sink when they
// end. sink may be called concurrently; nil discards spans.
func WithSpans(ctx context.Context, of Span, sink func(Span)) context.Context {
	if sink == nil {
		return ctx
	}
	return context.WithValue(ctx, spanKey{}, parent{of, sink})
}

// StartSpan begins a part of the span of ctx. It returns a context for the parts of the
// new span, and a function that ends it, with the error of its operation unless err is
// nil. In a context without spans, both do nothing.
func StartSpan(ctx context.Context, name string) (inside context.Context, end func(err *error)) {
	of, ok := ctx.Value(spanKey{}).(parent)
	if !ok {
		return ctx, func(*error) {}
	}
	var id [8]byte
	_, _ = rand.Read(id[:]) // never fails
	s := Span{Trace: of.Trace, ID: hex.EncodeToString(id[:]), Parent: of.ID, Name: name, Deployment: of.Deployment, Begin: time.Now()}
	return WithSpans(ctx, s, of.sink), func(err *error) {
		s.End = time.Now()
		if err != nil {
			s.Err = *err
		}
		of.sink(s)
	}
}
