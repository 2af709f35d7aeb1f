// Package telemetrytest is an OTLP collector for tests.
package telemetrytest

import (
	"compress/gzip"
	"encoding/hex"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"

	collectormetrics "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	collectortrace "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/proto"
)

// Collector is an OTLP endpoint that records its input.
type Collector struct {
	URL string

	mu      sync.Mutex // guards the fields below
	spans   []Span
	metrics map[string]bool
}

// Span is a span that was received.
type Span struct {
	Name              string
	Trace, ID, Parent string            // in hex digits
	Begin, End        uint64            // ns since 1970
	Error             string            // description of the status, if it is an error
	Attributes        map[string]string // in the text form of Protocol Buffers
}

// Start starts a collector that the test closes at its end.
func Start(t testing.TB) *Collector {
	c := &Collector{metrics: map[string]bool{}}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := c.receive(r); err != nil {
			t.Error(err)
		}
		w.Header().Set("Content-Type", "application/x-protobuf")
	}))
	t.Cleanup(server.Close)
	c.URL = server.URL
	return c
}

// Spans returns the spans received so far.
func (c *Collector) Spans() []Span {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.spans)
}

// Span returns the first span with a name, or the zero value.
func (c *Collector) Span(name string) Span {
	for _, s := range c.Spans() {
		if s.Name == name {
			return s
		}
	}
	return Span{}
}

// Metrics returns the names of the metrics received so far, sorted.
func (c *Collector) Metrics() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Sorted(maps.Keys(c.metrics))
}

func (c *Collector) receive(r *http.Request) error {
	body := io.Reader(r.Body)
	if r.Header.Get("Content-Encoding") == "gzip" {
		unzipped, err := gzip.NewReader(body)
		if err != nil {
			return err
		}
		body = unzipped
	}
	raw, err := io.ReadAll(body)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch r.URL.Path {
	case "/v1/traces":
		var m collectortrace.ExportTraceServiceRequest
		if err := proto.Unmarshal(raw, &m); err != nil {
			return err
		}
		c.addSpans(&m)
	case "/v1/metrics":
		var m collectormetrics.ExportMetricsServiceRequest
		if err := proto.Unmarshal(raw, &m); err != nil {
			return err
		}
		c.addMetrics(&m)
	}
	return nil
}

func (c *Collector) addSpans(m *collectortrace.ExportTraceServiceRequest) {
	for _, of := range m.ResourceSpans {
		for _, scope := range of.ScopeSpans {
			for _, s := range scope.Spans {
				attributes := map[string]string{}
				for _, a := range s.Attributes {
					attributes[a.Key] = a.Value.String()
				}
				c.spans = append(c.spans, Span{
					Name: s.Name, Trace: hex.EncodeToString(s.TraceId), ID: hex.EncodeToString(s.SpanId), Parent: hex.EncodeToString(s.ParentSpanId),
					Begin: s.StartTimeUnixNano, End: s.EndTimeUnixNano, Error: s.Status.GetMessage(), Attributes: attributes,
				})
			}
		}
	}
}

func (c *Collector) addMetrics(m *collectormetrics.ExportMetricsServiceRequest) {
	for _, of := range m.ResourceMetrics {
		for _, scope := range of.ScopeMetrics {
			for _, metric := range scope.Metrics {
				c.metrics[metric.Name] = true
			}
		}
	}
}
