package fleet

import (
	"context"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/fleet/measure"
)

// usageEvery is the time between two samples of an instance. With the delay of the
// sink's write it is less than a minute: a crash of the platform loses that much.
const usageEvery = 50 * time.Second

// reportUsage passes the usage of all instances to Options.Usage periodically until
// ctx ends. Each instance passes its last sample itself; see [Fleet.stop].
func (f *Fleet) reportUsage(ctx context.Context) {
	if f.o.Usage == nil {
		return
	}
	every := time.NewTicker(usageEvery)
	defer every.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-every.C:
		}
		f.mu.Lock()
		var all []*instance
		for inst := range f.instances {
			all = append(all, inst)
		}
		f.mu.Unlock()
		for _, inst := range all {
			f.sampleInstance(inst, false)
		}
	}
}

// sampleInstance passes the usage of inst since its last sample to Options.Usage;
// last is true once, after the end of its process.
func (f *Fleet) sampleInstance(inst *instance, last bool) {
	if f.o.Usage == nil {
		return
	}
	now := time.Now()
	inst.sampledAt.Store(now.UnixNano())
	reading := inst.process.Usage()
	f.mu.Lock()
	if inst.metered {
		f.mu.Unlock()
		return
	}
	f.takeUsage(inst, now, reading)
	inst.metered = last
	s, ok := inst.interval.Sample(now)
	f.mu.Unlock()
	if !ok {
		return
	}
	spec := &inst.revision.spec
	s.Team, s.Project, s.Deployment, s.Function, s.Instance = spec.Team, spec.Project, spec.Deployment, spec.Name, inst.process.ID()
	f.o.Usage.AddUsage(s)
}

// failedStart returns the usage of a start that lasted from began until now. The
// engine has ended its process, so only the time is known.
func failedStart(spec *lateen.FunctionSpec, began, now time.Time) lateen.UsageSample {
	took := now.Sub(began)
	return lateen.UsageSample{
		Team: spec.Team, Project: spec.Project, Deployment: spec.Deployment, Function: spec.Name,
		From: lateen.MillisOf(now.Round(0).Add(-took)), To: lateen.MillisOf(now),
		Usage: lateen.Usage{Failed: lateen.StateUsage{Time: took}},
	}
}

// sampleUsage reads the usage of all instances with requests.
func (f *Fleet) sampleUsage() {
	f.mu.Lock()
	var working []*instance
	for inst := range f.instances {
		if inst.inFlight > 0 {
			working = append(working, inst)
		}
	}
	f.mu.Unlock()
	for _, inst := range working {
		now := time.Now()
		if usage, read := inst.readUsage(now); read {
			f.mu.Lock()
			f.recordUsage(inst, now, usage)
			f.mu.Unlock()
		}
	}
	now := time.Now()
	f.mu.Lock()
	defer f.unlock()
	f.cpu.Add(now, 0)
	if f.cpu.sampling = f.cpu.Expected >= f.o.Processors && !f.ended; f.cpu.sampling {
		time.AfterFunc(measure.Window, f.sampleUsage)
	}
	f.serveCPUWaiters(now)
}
