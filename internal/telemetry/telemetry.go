// Package telemetry provides the operator's view of the daemon itself: its log, its
// metrics for Prometheus, and metrics and traces over OTLP.
package telemetry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/common/expfmt"
	bridge "go.opentelemetry.io/contrib/bridges/prometheus"
	"go.opentelemetry.io/contrib/exporters/autoexport"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetrichttp"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/resource"
	"go.opentelemetry.io/otel/sdk/trace"

	"github.com/lateen-dev/lateen"
)

// Options are the settings of the log and of exporters.
type Options struct {
	Out    io.Writer // of the log; nil discards
	Level  string    // debug, info, warn, error; "" is info
	Format string    // text, json; "" is text
	// Getenv reads the OTEL_* variables of the OpenTelemetry specification. OTLP is
	// exported only if one of them names an endpoint or an exporter; nil exports
	// nothing.
	Getenv  func(string) string
	Version string
}

// Telemetry is the daemon's log, metrics and traces.
type Telemetry struct {
	log      *slog.Logger
	recent   *recent
	registry *prometheus.Registry
	requests requestMetrics
	spans    *trace.TracerProvider // nil without OTLP
	metrics  *metric.MeterProvider // nil without OTLP
}

// New returns telemetry that is ready for use. [Telemetry.Run] flushes it at the
// end.
func New(ctx context.Context, o Options) (*Telemetry, error) {
	kept := &recent{next: o.Out}
	if o.Out != nil {
		o.Out = kept
	}
	log, err := newLogger(o)
	if err != nil {
		return nil, err
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(collectors.WithGoCollectorRuntimeMetrics(runtimeMetrics...)), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	t := &Telemetry{log: log, recent: kept, registry: registry, requests: newRequestMetrics(registry)}
	if o.Getenv == nil {
		return t, nil
	}
	described, err := resource.New(ctx, resource.WithFromEnv(), resource.WithTelemetrySDK(), resource.WithHost(),
		resource.WithAttributes(serviceAttributes(o)...))
	if err != nil && !errors.Is(err, resource.ErrPartialResource) {
		return nil, fmt.Errorf("describe this process to OpenTelemetry: %w", err)
	}
	if exportEnabled(o.Getenv, "TRACES") {
		exporter, err := autoexport.NewSpanExporter(ctx)
		if err != nil {
			return nil, fmt.Errorf("set up the export of traces: %w", err)
		}
		t.spans = trace.NewTracerProvider(trace.WithBatcher(exporter), trace.WithResource(described), trace.WithIDGenerator(givenIDs{}))
	}
	if exportEnabled(o.Getenv, "METRICS") {
		exporter, err := otlpmetrichttp.New(ctx)
		if err != nil {
			return nil, fmt.Errorf("set up the export of metrics: %w", err)
		}
		producer := bridge.NewMetricProducer(bridge.WithGatherer(registry))
		t.metrics = metric.NewMeterProvider(metric.WithResource(described),
			metric.WithReader(metric.NewPeriodicReader(exporter, metric.WithProducer(producer))))
	}
	return t, nil
}

// exportEnabled reports whether the environment enables the export of a signal.
func exportEnabled(getenv func(string) string, signal string) bool {
	switch exporter := getenv("OTEL_" + signal + "_EXPORTER"); {
	case getenv("OTEL_SDK_DISABLED") == "true" || exporter == "none":
		return false
	case exporter != "":
		return true
	}
	return getenv("OTEL_EXPORTER_OTLP_ENDPOINT") != "" || getenv("OTEL_EXPORTER_OTLP_"+signal+"_ENDPOINT") != ""
}

func newLogger(o Options) (*slog.Logger, error) {
	if o.Out == nil {
		return slog.New(slog.DiscardHandler), nil
	}
	var level slog.Level
	if o.Level != "" {
		if err := level.UnmarshalText([]byte(o.Level)); err != nil {
			return nil, fmt.Errorf("read the log level %q: %w", o.Level, err)
		}
	}
	options := &slog.HandlerOptions{Level: level, ReplaceAttr: cutValue}
	if strings.EqualFold(o.Format, "json") {
		return slog.New(slog.NewJSONHandler(o.Out, options)), nil
	}
	return slog.New(slog.NewTextHandler(o.Out, options)), nil
}

// Log returns the logger of a component of the daemon.
func (t *Telemetry) Log(part string) *slog.Logger { return t.log.With("part", part) }

// Gauge registers a gauge with the values of read.
func (t *Telemetry) Gauge(name, help string, read func() float64) {
	t.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, read))
}

// Counter registers a counter with the values of read, which only grow.
func (t *Telemetry) Counter(name, help string, read func() float64) {
	t.registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help}, read))
}

// Handler serves the metrics in the format of the Accept field.
func (t *Telemetry) Handler() http.Handler {
	return promhttp.HandlerFor(t.registry, promhttp.HandlerOpts{EnableOpenMetrics: true})
}

// WriteMetrics writes the metrics in the text format of Prometheus.
func (t *Telemetry) WriteMetrics(w io.Writer) error {
	families, err := t.registry.Gather()
	if err != nil {
		return err
	}
	for _, family := range families {
		if _, err := expfmt.MetricFamilyToText(w, family); err != nil {
			return err
		}
	}
	return nil
}

// Record counts a request and, if traces are exported, creates its spans.
func (t *Telemetry) Record(r lateen.Record) {
	t.requests.observe(r)
	if t.spans != nil {
		createSpans(t.spans.Tracer(tracerName), r)
	}
}

const tracerName = "github.com/lateen-dev/lateen"

// Spans returns a function that exports the spans of operations; nil if traces are not
// exported.
func (t *Telemetry) Spans() func(lateen.Span) {
	if t.spans == nil {
		return nil
	}
	tracer := t.spans.Tracer(tracerName)
	return func(s lateen.Span) { createSpan(tracer, s) }
}

// Run waits for the end of ctx and flushes the telemetry.
func (t *Telemetry) Run(ctx context.Context) error {
	<-ctx.Done()
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	var errs []error
	if t.spans != nil {
		errs = append(errs, t.spans.Shutdown(last))
	}
	if t.metrics != nil {
		errs = append(errs, t.metrics.Shutdown(last))
	}
	if err := errors.Join(errs...); err != nil {
		t.log.Warn("the last telemetry was not sent", "err", err)
	}
	return nil
}
