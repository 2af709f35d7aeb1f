package daemon

import (
	"math"
	"net/http"
	"strings"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/api"
	"github.com/lateen-dev/lateen/internal/cache"
	"github.com/lateen-dev/lateen/internal/cgroup"
	"github.com/lateen-dev/lateen/internal/config"
	"github.com/lateen-dev/lateen/internal/control"
	"github.com/lateen-dev/lateen/internal/engine/local"
	"github.com/lateen-dev/lateen/internal/fleet"
	"github.com/lateen-dev/lateen/internal/meter"
	"github.com/lateen-dev/lateen/internal/observe"
	"github.com/lateen-dev/lateen/internal/telemetry"
)

// withMetrics adds /metrics to the API. Metrics name the projects of every team, so
// a token needs the permission to read them.
func withMetrics(calls http.Handler, verbs *control.Control, metrics http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/metrics" {
			calls.ServeHTTP(w, r)
			return
		}
		token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		switch err := verbs.MayReadMetrics(r.Context(), token); lateen.CodeOf(err) {
		case "":
		case lateen.Forbidden, lateen.NotFound:
			http.Error(w, "the token may not read metrics: it needs the scope metrics, read-only or full, of a member of the platform's first team", http.StatusForbidden)
			return
		case lateen.Unavailable, lateen.Timeout, lateen.Internal:
			http.Error(w, "the token cannot be checked: the platform's database does not answer", http.StatusServiceUnavailable)
			return
		default:
			w.Header().Set("WWW-Authenticate", `Bearer realm="lateen"`)
			why := "metrics need a token: Authorization: Bearer <token>"
			if token != "" {
				why = "the token is not valid"
			}
			http.Error(w, why, http.StatusUnauthorized)
			return
		}
		metrics.ServeHTTP(w, r)
	})
}

// gauges registers the metrics that show the state of the components.
func gauges(tel *telemetry.Telemetry, instances *fleet.Fleet, blanks func() local.PoolStats) {
	of := func(name, help string, read func(fleet.Stats) int) {
		tel.Gauge(name, help, func() float64 { return float64(read(instances.Stats())) })
	}
	of("lateen_instances", "Function instances running.", func(s fleet.Stats) int { return s.Running })
	of("lateen_instances_starting", "Function instances starting.", func(s fleet.Stats) int { return s.Starting })
	of("lateen_instances_frozen", "Frozen function instances, a part of the running ones.", func(s fleet.Stats) int { return s.Frozen })
	of("lateen_instances_memory_bytes", "Memory that function instances hold.", func(s fleet.Stats) int { return int(s.Memory) })
	of("lateen_functions_known", "Functions with learned values, including functions without instances.", func(s fleet.Stats) int { return s.Known })
	of("lateen_invocations_in_flight", "Function invocations in progress.", func(s fleet.Stats) int { return s.InFlight })
	of("lateen_invocations_waiting", "Function invocations waiting for an instance.", func(s fleet.Stats) int { return s.Waiting })
	tel.Gauge("lateen_blank_processes", "Blank runtime processes ready for a function.", func() float64 { return float64(blanks().Ready) })
	tel.Gauge("lateen_blank_processes_wanted", "Target number of ready blank processes, by recent demand.", func() float64 { return float64(blanks().Target) })
	tel.Gauge("lateen_blank_processes_booting", "Blank runtime processes being booted.", func() float64 { return float64(blanks().Booting) })
	tel.Counter("lateen_blank_claims_total", "Starts that found a blank process ready.", func() float64 { return float64(blanks().Blank) })
	tel.Counter("lateen_blank_misses_total", "Starts that found no blank process ready and waited for a boot.", func() float64 { return float64(blanks().Cold) })
}

// storageGauges adds the metrics of cached pages and of the request log.
func storageGauges(tel *telemetry.Telemetry, logs *observe.Log, pages *cache.Cache) {
	tel.Gauge("lateen_cache_bytes", "Disk used by cached pages and the data cache.", func() float64 { return float64(pages.Used()) })
	tel.Gauge("lateen_log_queue", "Log entries waiting to be written.", func() float64 { return float64(logs.Stats().Queued) })
	tel.Counter("lateen_log_dropped_total", "Log entries dropped because they arrived faster than they could be written.", func() float64 { return droppedOf(logs.Stats()) })
}

// dataGauges adds the metrics of the data cache.
func dataGauges(tel *telemetry.Telemetry, data *cache.Data) {
	tel.Gauge("lateen_data_cache_bytes", "Disk used by the data cache of functions.", func() float64 { return float64(data.Used()) })
	tel.Counter("lateen_data_cache_hits_total", "Reads of the data cache that found a value.", func() float64 { return float64(data.Stats().Hits) })
	tel.Counter("lateen_data_cache_misses_total", "Reads of the data cache that found none.", func() float64 { return float64(data.Stats().Misses) })
	tel.Counter("lateen_data_cache_stored_total", "Values stored in the data cache.", func() float64 { return float64(data.Stats().Stored) })
	tel.Counter("lateen_data_cache_refused_total", "Values that the data cache did not store: they were invalidated meanwhile, or could not be written.", func() float64 { return float64(data.Stats().Refused) })
}

// usageGauges registers the metrics of the meter.
func usageGauges(tel *telemetry.Telemetry, usage *meter.Meter) {
	tel.Gauge("lateen_usage_pending", "Rows of usage in memory that are not stored yet.", func() float64 { return float64(usage.Stats().Pending) })
	tel.Counter("lateen_usage_write_failures_total", "Failed writes of usage; each is tried again.", func() float64 { return float64(usage.Stats().Failures) })
	tel.Counter("lateen_usage_coalesced_total", "Usage samples that were added to another hour or to their project because the store took none.", func() float64 { return float64(usage.Stats().Coalesced) })
}

func droppedOf(s observe.Stats) float64 { return float64(s.DroppedRecords + s.DroppedLines) }

// functionLimits returns the limits of functions that set none. Those of a worker of
// another process are unknown.
func functionLimits(c *config.Config) api.FunctionLimits {
	if !c.Has(config.Worker) {
		return api.FunctionLimits{}
	}
	return api.FunctionLimits{Memory: c.Memory, Duration: c.Duration, MaxDuration: c.MaxDuration}
}

// machineMemory returns the memory that this process may use in bytes, or 0 if it is
// unknown.
func machineMemory() int64 {
	total, _ := cgroup.HostMemory()
	if total == math.MaxInt64 {
		return 0
	}
	return total
}

// fleetMemory returns the memory budget of all instances, in bytes.
func fleetMemory(c *config.Config) int64 {
	if c.FleetMemory > 0 {
		return int64(c.FleetMemory)
	}
	return machineMemory() / 2
}
