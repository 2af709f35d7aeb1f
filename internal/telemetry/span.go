package telemetry

import (
	"context"
	"crypto/rand"
	"strconv"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	semconv "go.opentelemetry.io/otel/semconv/v1.37.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/lateen-dev/lateen"
)

func serviceAttributes(o Options) []attribute.KeyValue {
	name := o.Getenv("OTEL_SERVICE_NAME")
	if name == "" {
		name = "lateen"
	}
	return []attribute.KeyValue{semconv.ServiceName(name), semconv.ServiceVersion(o.Version)}
}

// createSpans creates the spans of a request from its record: one for the request and a
// child span for each phase of its invocation.
func createSpans(tracer trace.Tracer, r lateen.Record) {
	ctx := givenContext(r.TraceID, r.SpanID, r.ParentSpan)
	begin := r.Time.Time()
	ctx, span := tracer.Start(ctx, r.Method+" "+orElse(r.Output, r.Kind), trace.WithTimestamp(begin),
		trace.WithSpanKind(trace.SpanKindServer), trace.WithAttributes(
			semconv.HTTPRequestMethodKey.String(r.Method), semconv.ServerAddress(r.Host), semconv.URLPath(r.Path),
			semconv.HTTPResponseStatusCode(r.Status), semconv.HTTPRoute(r.Output),
			attribute.String("lateen.request_id", string(r.ID)), attribute.String("lateen.project_id", string(r.Project)),
			attribute.String("lateen.deployment_id", string(r.Deployment)), attribute.String("lateen.source", r.Kind),
			attribute.String("lateen.cache", r.Cache),
		))
	if r.Status >= 500 || r.Error != "" {
		span.SetStatus(codes.Error, r.Error)
	}
	at := begin
	if inv := r.Middleware; inv != nil {
		inside, child := tracer.Start(ctx, "middleware", trace.WithTimestamp(at), trace.WithAttributes(invocationAttributes(inv)...))
		at = createPhaseSpans(inside, tracer, at, inv)
		child.End(trace.WithTimestamp(at))
	}
	if inv := r.Invocation; inv != nil {
		span.SetAttributes(invocationAttributes(inv)...)
		createPhaseSpans(ctx, tracer, at, inv)
	}
	span.End(trace.WithTimestamp(begin.Add(r.Duration)))
}

// createPhaseSpans creates a span for each phase of an invocation, in sequence from the
// time at, and returns the end of the last.
func createPhaseSpans(ctx context.Context, tracer trace.Tracer, at time.Time, inv *lateen.Invocation) time.Time {
	for _, phase := range []struct {
		name string
		took time.Duration
	}{{"queue", inv.Queue}, {"claim", inv.Claim}, {"load", inv.Load}, {"handler", inv.Handler}} {
		if phase.took <= 0 {
			continue
		}
		_, child := tracer.Start(ctx, phase.name, trace.WithTimestamp(at), trace.WithAttributes(
			attribute.String("lateen.function", inv.Function), attribute.String("lateen.start", string(inv.Start))))
		at = at.Add(phase.took)
		child.End(trace.WithTimestamp(at))
	}
	return at
}

// invocationAttributes returns the attributes of an invocation and its resource
// usage. The called hosts are a list of "host count".
func invocationAttributes(inv *lateen.Invocation) []attribute.KeyValue {
	all := []attribute.KeyValue{
		semconv.FaaSInvokedName(inv.Function), semconv.FaaSInstance(string(inv.Instance)),
		semconv.FaaSColdstart(inv.Start != lateen.StartWarm && inv.Start != lateen.StartThawed && inv.Start != lateen.StartPrewarmed),
		attribute.String("lateen.start", string(inv.Start)), attribute.Bool("lateen.retried", inv.Retried),
		attribute.Float64("lateen.cpu_ms", float64(inv.CPU)/float64(time.Millisecond)), attribute.Int64("lateen.memory_bytes", inv.Memory),
	}
	if len(inv.Outbound) == 0 {
		return all
	}
	calls := make([]string, 0, len(inv.Outbound))
	for _, to := range inv.Outbound {
		calls = append(calls, to.Host+" "+strconv.Itoa(to.Count))
	}
	return append(all, attribute.StringSlice("lateen.outbound", calls))
}

func orElse(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

// createSpan creates the span of a part of an operation.
func createSpan(tracer trace.Tracer, s lateen.Span) {
	_, span := tracer.Start(givenContext(s.Trace, s.ID, s.Parent), s.Name, trace.WithTimestamp(s.Begin),
		trace.WithAttributes(attribute.String("lateen.deployment_id", string(s.Deployment))))
	if s.Err != nil {
		span.SetStatus(codes.Error, cut(s.Err.Error(), maxValue))
	}
	span.End(trace.WithTimestamp(s.End))
}

type givenKey struct{}

// given are the ids of a span that was created elsewhere.
type given struct{ trace, span string }

// givenContext returns a context in which the next span has the given ids.
func givenContext(inTrace, span, parent string) context.Context {
	ctx := context.WithValue(context.Background(), givenKey{}, given{inTrace, span}) //nolint:forbidigo // spans are created after their operation
	traceID, err := trace.TraceIDFromHex(inTrace)
	parentID, parentErr := trace.SpanIDFromHex(parent)
	if err != nil || parentErr != nil {
		return ctx
	}
	return trace.ContextWithRemoteSpanContext(ctx, trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: traceID, SpanID: parentID, TraceFlags: trace.FlagsSampled, Remote: true,
	}))
}

// givenIDs generates the ids of spans: those of [givenContext], such as the ids that the
// functions of a request got, and new ids for the others.
type givenIDs struct{}

// NewIDs implements the SDK's IDGenerator for a span without a parent.
func (i givenIDs) NewIDs(ctx context.Context) (trace.TraceID, trace.SpanID) {
	var id trace.TraceID
	_, _ = rand.Read(id[:]) // never fails
	if g, ok := ctx.Value(givenKey{}).(given); ok {
		if known, err := trace.TraceIDFromHex(g.trace); err == nil {
			id = known
		}
	}
	return id, i.NewSpanID(ctx, id)
}

// NewSpanID implements the SDK's IDGenerator for a span with a parent.
func (givenIDs) NewSpanID(ctx context.Context, _ trace.TraceID) trace.SpanID {
	var id trace.SpanID
	_, _ = rand.Read(id[:]) // never fails
	g, ok := ctx.Value(givenKey{}).(given)
	if inside := trace.SpanFromContext(ctx); ok && (!inside.SpanContext().IsValid() || inside.SpanContext().IsRemote()) {
		if known, err := trace.SpanIDFromHex(g.span); err == nil {
			id = known
		}
	}
	return id
}
