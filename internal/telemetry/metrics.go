package telemetry

import (
	"regexp"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/lateen-dev/lateen"
)

// requestMetrics are the metrics of requests, per project. Paths and hosts are not
// labels, because a client chooses them.
type requestMetrics struct {
	requests   *prometheus.CounterVec   // project, source, status class
	durations  *prometheus.HistogramVec // project, source
	cache      *prometheus.CounterVec   // project, state
	starts     *prometheus.CounterVec   // project, kind
	startTimes *prometheus.HistogramVec // kind
	cpu        *prometheus.CounterVec   // project
	memory     *prometheus.HistogramVec // project
	outbound   *prometheus.CounterVec   // project
	errors     *prometheus.CounterVec   // reason
	bytes      *prometheus.CounterVec   // project, direction
}

// runtimeMetrics are the metrics of the Go runtime besides the default ones: the wait
// of goroutines for a thread, the pauses, and the cost of garbage collection and of
// contended mutexes.
//
//nolint:gochecknoglobals // a constant in all but name
var runtimeMetrics = []collectors.GoRuntimeMetricsRule{
	collectors.MetricsScheduler,
	{Matcher: regexp.MustCompile(`^/(gc/heap/live:bytes|cpu/classes/gc/total:cpu-seconds|sync/mutex/wait/total:seconds)$`)},
}

func newRequestMetrics(registry *prometheus.Registry) requestMetrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
		registry.MustRegister(c)
		return c
	}
	histogram := func(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
		h := prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: name, Help: help, NativeHistogramBucketFactor: 1.1, Buckets: buckets,
		}, labels)
		registry.MustRegister(h)
		return h
	}
	durations := []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 60}
	starts := []float64{.0005, .001, .002, .003, .005, .0075, .01, .015, .02, .03, .05, .075, .1, .15, .25, .5, 1, 2.5}
	const mib = 1 << 20
	return requestMetrics{
		requests:   counter("lateen_requests_total", "Requests answered.", "project", "source", "status"),
		durations:  histogram("lateen_request_duration_seconds", "Time to the last byte of a response.", durations, "project", "source"),
		cache:      counter("lateen_cache_total", "Requests by cache state.", "project", "state"),
		starts:     counter("lateen_function_starts_total", "Function invocations by kind of start.", "project", "kind"),
		startTimes: histogram("lateen_function_start_seconds", "Time from a request's arrival to a loaded instance, for requests that started one.", starts, "kind"),
		cpu:        counter("lateen_function_cpu_seconds_total", "CPU time of function instances, divided among their requests.", "project"),
		memory:     histogram("lateen_function_memory_bytes", "Peak memory of an instance at the end of an invocation.", prometheus.ExponentialBuckets(16*mib, 2, 9), "project"),
		outbound:   counter("lateen_function_outbound_total", "Connections that functions made to other hosts.", "project"),
		errors:     counter("lateen_errors_total", "Requests that ended in an error, by reason.", "reason"),
		bytes:      counter("lateen_bytes_total", "Bytes of bodies.", "project", "direction"),
	}
}

func (m *requestMetrics) observe(r lateen.Record) {
	project := string(r.Project)
	m.requests.WithLabelValues(project, r.Kind, strconv.Itoa(r.Status/100)+"xx").Inc()
	m.durations.WithLabelValues(project, r.Kind).Observe(r.Duration.Seconds())
	m.bytes.WithLabelValues(project, "in").Add(float64(r.BytesIn))
	m.bytes.WithLabelValues(project, "out").Add(float64(r.BytesOut))
	if r.Cache != "" {
		m.cache.WithLabelValues(project, r.Cache).Inc()
	}
	if r.Error != "" {
		m.errors.WithLabelValues(r.Error).Inc()
	}
	for _, inv := range []*lateen.Invocation{r.Middleware, r.Invocation} {
		if inv == nil || inv.Start == "" {
			continue
		}
		m.starts.WithLabelValues(project, string(inv.Start)).Inc()
		if inv.Start != lateen.StartWarm {
			m.startTimes.WithLabelValues(string(inv.Start)).Observe((inv.Queue + inv.Claim + inv.Load).Seconds())
		}
		m.use(project, inv)
	}
}

// use counts the measured resource usage of an invocation.
func (m *requestMetrics) use(project string, inv *lateen.Invocation) {
	if inv.CPU > 0 {
		m.cpu.WithLabelValues(project).Add(inv.CPU.Seconds())
	}
	if inv.Memory > 0 {
		m.memory.WithLabelValues(project).Observe(float64(inv.Memory))
	}
	calls := 0
	for _, to := range inv.Outbound {
		calls += to.Count
	}
	if calls > 0 {
		m.outbound.WithLabelValues(project).Add(float64(calls))
	}
}
